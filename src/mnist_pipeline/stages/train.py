"""Trains one model on the training images and keeps a seeded part of them for validation."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import torch

from mnist_pipeline import console, paths
from mnist_pipeline.data.augment import random_affine
from mnist_pipeline.data.catalog import label_names
from mnist_pipeline.data.dataset import Split, load_split, stratified_split
from mnist_pipeline.devices import choose_device, make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import demand_writable, directory_digest, write_json, write_text
from mnist_pipeline.models import Classifier, Description, build, save_weights
from mnist_pipeline.params import Params, Training
from mnist_pipeline.training.loop import Epoch, Examples, Recipe, fit


def run(params: Params, model: str) -> None:
    """Writes the weights, the metrics and the history of `model`, and its row in MLflow."""
    from mnist_pipeline.tracking.publish import training_run

    settings = params.training(model)
    device = choose_device("train.device", params.train.device)
    make_deterministic(params.train.seed)
    for target in (paths.weights(model), paths.report("train", model) / "metrics.json"):
        demand_writable(target)
    split = load_split(paths.RAW, "train")
    kept, held_out = stratified_split(split.labels, params.train.validation_size, params.train.seed)
    description = _describe(params, model, split.take(kept))
    classifier = _build(description).to(device)
    console.say(f"train {model}: {len(kept)} images, {len(held_out)} held out, on {device}")

    history: list[Epoch] = []
    total = settings.epochs * len(kept)
    with training_run(params, model) as row, console.progress(f"train {model}", total) as advance:
        epochs = fit(
            classifier,
            _examples(split.take(kept), device),
            _examples(split.take(held_out), device),
            _recipe(settings),
            params.train.seed,
            advance,
        )
        for epoch in epochs:
            history.append(epoch)
            row.log_epoch(epoch.epoch, asdict(epoch))
            console.say(_line(epoch, settings.epochs))
        _write(model, classifier, description, history)
        row.finish()


def _describe(params: Params, model: str, kept: Split) -> Description:
    classes = int(kept.labels.max()) + 1
    pixels = kept.images.astype("float64") / 255
    return Description(
        model=model,
        architecture=dict(params.training(model).architecture),
        label_names=list(label_names(params.data.dataset, classes)),
        mean=round(float(pixels.mean()), 6),
        standard_deviation=round(float(pixels.std()), 6),
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


def _examples(split: Split, device: torch.device) -> Examples:
    return Examples(torch.tensor(split.images, device=device), torch.tensor(split.labels, device=device).long())


def _recipe(settings: Training) -> Recipe:
    shared = {field.name: getattr(settings, field.name) for field in fields(Recipe) if field.name != "augment"}
    return Recipe(augment=partial(random_affine, **settings.augmentation.model_dump()), **shared)


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
