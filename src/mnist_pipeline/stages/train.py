"""Trains one model on the training images and keeps a seeded part of them for validation."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_pipeline import console, paths
from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.data.catalog import label_names
from mnist_pipeline.data.dataset import Split, load_split, pixel_statistics, stratified_split
from mnist_pipeline.devices import choose_device, choose_precision, keep_freed_memory, make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import demand_writable, directory_digest, tree_digest, write_json, write_text
from mnist_pipeline.models import Classifier, Description, build, save_weights
from mnist_pipeline.params import Params, Training
from mnist_pipeline.training import team as teams
from mnist_pipeline.training.checkpoint import Checkpoints
from mnist_pipeline.training.loop import DivergedError, Examples, Recipe, fit
from mnist_pipeline.training.state import Epoch
from mnist_pipeline.training.team import ALONE, Team

PACKAGE = Path(__file__).parents[1]


def run(params: Params, model: str) -> None:
    """Writes the weights, the metrics and the history of `model`, and its row in MLflow.

    Where it takes several processes, this one only starts them, as torchrun would.
    """
    device = choose_device("train.device", params.train.device)
    processes = params.train.processes
    if processes > 1 and not teams.is_member():
        teams.demand_devices(processes, device)
        teams.launch(processes, PACKAGE.name, "train", model)
        return
    with teams.joined(device) as (team, device):
        if team.size != processes:
            raise PipelineError(f"train.processes = {processes}, but torchrun started {team.size}: make them equal")
        _train(params, model, team, device)


@dataclass(frozen=True)
class Setup:
    """A model that has not been trained yet, and all that it takes to train it."""

    classifier: Classifier
    description: Description
    train: Examples
    validation: Examples
    recipe: Recipe
    seed: int

    def epochs(
        self,
        advance: Callable[[int], None] = lambda amount: None,
        checkpoints: Checkpoints | None = None,
        team: Team = ALONE,
    ) -> Iterator[Epoch]:
        """Trains the classifier; see `fit`."""
        return fit(self.classifier, self.train, self.validation, self.recipe, self.seed, advance, checkpoints, team)


def prepare(params: Params, model: str, device: torch.device) -> Setup:
    """The data on the device, split, and the model with its first weights; seeds all that is random.

    Raises:
        PipelineError: the data cannot be read or split, or the model cannot be built.
    """
    seed = params.train.seed
    make_deterministic(seed)
    keep_freed_memory()
    split = load_split(paths.RAW, "train")
    kept, held_out = stratified_split(split.labels, params.train.validation_size, seed)
    train = split.take(kept)
    description = _describe(params, model, train)
    return Setup(
        _build(description).to(device),
        description,
        examples(train, device),
        examples(split.take(held_out), device),
        _recipe(params.training(model), device),
        seed,
    )


def _train(params: Params, model: str, team: Team, device: torch.device) -> None:
    setup = prepare(params, model, device)
    checkpoints = _checkpoints(params, setup.description, team, device)
    if team.leads:
        processes = f" in {team.size} processes" if team.size > 1 else ""
        counts = f"{len(setup.train)} images, {len(setup.validation)} held out"
        console.say(f"train {model}: {counts}, on {device}{processes}")
        _lead(params, model, setup, checkpoints, team)
        checkpoints.remove()
    else:
        try:
            list(setup.epochs(checkpoints=checkpoints, team=team))
        except DivergedError:
            sys.exit(1)  # the leader tells


def _lead(params: Params, model: str, setup: Setup, checkpoints: Checkpoints, team: Team) -> None:
    """Trains, tells how it goes here and in MLflow, and writes what came of it."""
    from mnist_pipeline.tracking.publish import training_run

    for target in (paths.weights(model), paths.report("train", model) / "metrics.json"):
        demand_writable(target)
    history: list[Epoch] = []
    total = setup.recipe.epochs * len(setup.train)
    with training_run(params, model) as row, console.progress(f"train {model}", total) as advance:
        try:
            for epoch in setup.epochs(advance, checkpoints, team):
                history.append(epoch)
                row.log_epoch(epoch.epoch, asdict(epoch))
                console.say(_line(epoch, setup.recipe.epochs))
        except KeyboardInterrupt:
            console.say(f"train {model}: stopped in epoch {len(history) + 1}; the same command goes on from there")
            raise
        _write(model, setup.classifier, setup.description, history)
        row.finish()


ROUNDING_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
"""They choose the processor's instructions, and so the order in which sums are taken."""


def _checkpoints(params: Params, description: Description, team: Team, device: torch.device) -> Checkpoints:
    # DVC runs an experiment in a copy of the repository, which does not outlive it
    folder = Path(os.environ.get("DVC_ROOT") or ".") / paths.CHECKPOINTS
    return Checkpoints(folder, checkpoint_origin(params, description, team, device), warn=console.say)


def checkpoint_origin(params: Params, description: Description, team: Team, device: torch.device) -> dict[str, Any]:
    """All that the weights depend on, down to what changes the rounding of a sum."""
    return {
        "code": tree_digest(PACKAGE, "*.py"),
        "train": params.train.model_dump(include={"seed", "validation_size", description.model}),
        "precision": str(choose_precision(params.training(description.model).precision, device)),
        "description": asdict(description),
        "versions": [torch.__version__, np.__version__, torch.backends.cudnn.version()],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "instructions": [torch.backends.cpu.get_cpu_capability(), *map(os.environ.get, ROUNDING_VARIABLES)],
        "threads": torch.get_num_threads(),
        "processes": team.size,
    }


def _describe(params: Params, model: str, kept: Split) -> Description:
    classes = int(kept.labels.max()) + 1
    mean, standard_deviation = pixel_statistics(kept.images)
    return Description(
        model=model,
        architecture=dict(params.training(model).architecture),
        label_names=list(label_names(params.data.dataset, classes)),
        mean=round(mean, 6),
        standard_deviation=round(standard_deviation, 6),
        data_md5=directory_digest(paths.RAW),
    )


def _build(description: Description) -> Classifier:
    try:
        network = build(description.model, description.architecture, len(description.label_names))
    except ValueError as error:
        raise PipelineError(f"{paths.PARAMS}: train.{description.model}.architecture: {error}") from error
    # With channels last, oneDNN's convolutions take less time; what is written is not affected.
    network = network.to(memory_format=torch.channels_last)
    return Classifier(network, description.mean, description.standard_deviation)


def examples(split: Split, device: torch.device) -> Examples:
    """A split as tensors on a device."""
    return Examples(torch.tensor(split.images, device=device), torch.tensor(split.labels, device=device).long())


def _recipe(settings: Training, device: torch.device) -> Recipe:
    augmentation = settings.augmentation
    bounds = augmentation.model_dump(exclude={"final_strength"})
    made: dict[str, Any] = {
        "final_strength": augmentation.final_strength,
        "augment": partial(random_distortion, **bounds),
        "precision": choose_precision(settings.precision, device),
    }
    names = [field.name for field in fields(Recipe) if field.name not in made]
    return Recipe(**made, **{name: getattr(settings, name) for name in names})


def _line(epoch: Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch:3d}/{epochs}  loss {epoch.train_loss:.4f}  "
        f"validation loss {epoch.validation_loss:.4f}  validation accuracy {epoch.validation_accuracy:.2%}"
    )


def _write(model: str, trained: Classifier, description: Description, history: Sequence[Epoch]) -> None:
    folder = paths.report("train", model)
    _write_history(folder / "history.csv", history)
    metrics = asdict(history[-1])
    metrics["epochs"] = metrics.pop("epoch")
    metrics.pop("learning_rate")
    metrics["parameters"] = sum(parameter.numel() for parameter in trained.parameters())
    write_json(folder / "metrics.json", metrics)
    save_weights(paths.weights(model), trained.network, description)


def _write_history(path: Path, history: Sequence[Epoch]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    write_text(path, text.getvalue())
