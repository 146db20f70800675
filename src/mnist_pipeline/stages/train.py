"""Train one model on the training images, a seeded part of which is its validation set."""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import Split, load_label_names, load_split, pixel_statistics, validation_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import check_writable, read_json, write_json, write_text
from mnist_pipeline.formats import directory_digest, file_digest, files_digest
from mnist_pipeline.models.build import build
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.weights import Description, load_classifier, save_weights
from mnist_pipeline.params import Params, Training, read_yaml
from mnist_pipeline.training import distributed
from mnist_pipeline.training.checkpoint import Checkpoint
from mnist_pipeline.training.devices import choose_device, choose_precision, make_deterministic
from mnist_pipeline.training.loop import DivergedError, EpochMetrics, ImageSubset, fit

PACKAGE = Path(__file__).parents[1]


def run(params: Params, model: str) -> None:
    """Write the weights, the history and the metrics of `model`, and its MLflow run."""
    device = choose_device("train.device", params.train.device)
    if params.train.processes > 1 and not distributed.is_launched():
        distributed.launch(params.train.processes, device, str(PACKAGE), "train", model)
        return
    with distributed.process_group(device) as device:
        if distributed.world_size() != params.train.processes:
            counts = f"{params.train.processes}, but {distributed.world_size()} were started"
            raise PipelineError(f"train.processes = {counts}: make them equal")
        training = prepare(params, model, device)
        verdict = read_json(paths.VERDICT) if paths.VERDICT.exists() else {}
        if verdict.get("data_md5") != training.description.data_md5:
            fix = "run mnist-pipeline validate, or dvc repro"
            raise PipelineError(f"{paths.RAW}: not the data that passed validation: {fix}")
        # DVC runs an experiment in a copy of the repository, which does not outlive it
        folder = Path(os.environ.get("DVC_ROOT") or ".") / paths.CHECKPOINTS
        checkpoint = Checkpoint(folder, checkpoint_identity(params, training, device), console.warn)
        if distributed.rank() == 0:
            _fit_and_write(params, model, training, checkpoint)
            checkpoint.remove()
        else:
            try:
                list(training.fit(checkpoint=checkpoint, checkpoint_steps=params.train.checkpoint_steps))
            except DivergedError:
                sys.exit(1)  # the first process reports it


@dataclass(frozen=True)
class PreparedTraining:
    """A classifier with its first weights, and the data on the device that trains it."""

    classifier: Classifier
    description: Description
    train: ImageSubset
    validation: ImageSubset
    settings: Training
    seed: int
    precision: torch.dtype

    def fit(self, **options: Any) -> Iterator[EpochMetrics]:
        """Train the classifier; see `training.loop.fit`."""
        return fit(self.classifier, self.train, self.validation, self.settings, self.seed, self.precision, **options)


def prepare(params: Params, model: str, device: torch.device) -> PreparedTraining:
    """Load and split the data, and build the model; seed all that is random."""
    seed, settings = params.train.seed, params.training(model)
    make_deterministic(seed)
    split = load_split(paths.RAW, "train")
    train, validation = validation_split(split.labels, params.train.validation_share, seed)
    mean, standard_deviation = (round(value, 6) for value in pixel_statistics(split.images, train))
    if standard_deviation == 0:
        raise PipelineError(
            f"{paths.RAW}: all pixels of the training images are equal: nothing can be learnt from them"
        )
    description = Description(
        model=model,
        architecture=dict(settings.architecture),
        image_shape=list(split.images.shape[1:]),
        label_names=load_label_names(paths.CLASSES, int(split.labels.max()) + 1),
        mean=mean,
        standard_deviation=standard_deviation,
        data_md5=directory_digest(paths.RAW),
    )
    try:
        network = build(model, settings.architecture, description.image_shape, len(description.label_names))
    except ValueError as error:
        raise PipelineError(f"{paths.PARAMS}: train.{model}.architecture: {error}") from error
    if settings.init != "none":
        start_from(network, paths.INIT / settings.init, description)
    network = network.to(memory_format=torch.channels_last)  # LeNet trains 15 % faster on a CPU (one thread, n = 4)
    return PreparedTraining(
        classifier=Classifier(network, mean, standard_deviation).to(device),
        description=description,
        train=subset(split, train, device),
        validation=subset(split, validation, device),
        settings=settings,
        seed=seed,
        precision=choose_precision(settings.precision, device),
    )


def subset(split: Split, indices: NDArray[np.int64], device: torch.device) -> ImageSubset:
    """Some images of a split. A GPU that has twice their memory free gets all of the split, else each batch."""
    images = torch.from_numpy(split.images)
    if device.type == "cuda" and torch.cuda.mem_get_info(device)[0] >= 2 * images.nbytes:
        images = images.to(device)
    return ImageSubset(images, torch.tensor(split.labels, device=device), torch.tensor(indices, device=device))


def start_from(network: nn.Module, path: Path, description: Description) -> None:
    """Give a network the weights of an earlier training, but for its last layer where the classes are others."""
    classifier, earlier = load_classifier(path)
    weights, own = classifier.network.state_dict(), network.state_dict()
    if earlier.label_names != description.label_names:
        last = list(own)[-1].rpartition(".")[0]
        weights |= {name: tensor for name, tensor in own.items() if name.startswith(f"{last}.")}
    if {name: tensor.shape for name, tensor in weights.items()} != {name: tensor.shape for name, tensor in own.items()}:
        raise PipelineError(
            f"{path}: weights of {earlier.model} {earlier.architecture} for images of {earlier.image_shape}; expected "
            f"{description.model} {description.architecture} for {description.image_shape}"
        )
    network.load_state_dict(weights)


def _fit_and_write(params: Params, model: str, training: PreparedTraining, checkpoint: Checkpoint) -> None:
    """Train with one line for each epoch, here and in MLflow, and write what came of it."""
    from mnist_pipeline.tracking.publish import live_run

    folder, epochs = paths.report("train", model), training.settings.epochs
    for target in (paths.weights(model), folder / "metrics.json"):
        check_writable(target)
    processes = f" in {distributed.world_size()} processes" if distributed.world_size() > 1 else ""
    counts = f"{len(training.train)} images, {len(training.validation)} for validation"
    console.info(f"train {model}: {counts}, on {training.train.labels.device}{processes}")
    history: list[EpochMetrics] = []
    with live_run(params, model) as run:
        try:
            with console.progress(f"train {model}", epochs * len(training.train)) as on_progress:
                steps = params.train.checkpoint_steps
                for row in training.fit(checkpoint=checkpoint, checkpoint_steps=steps, on_progress=on_progress):
                    history.append(row)
                    run.log_epoch(row)
                    console.info(
                        f"epoch {row['epoch']:3}/{epochs}  loss {row['train_loss']:.4f}  validation loss "
                        f"{row['validation_loss']:.4f}  validation accuracy {row['validation_accuracy']:.2%}"
                    )
        except KeyboardInterrupt:
            console.info(f"train {model}: stopped in epoch {len(history) + 1}; the same command resumes there")
            raise
        lines = [",".join(map(str, line)) for line in (history[0], *(row.values() for row in history))]
        write_text(folder / "history.csv", "\n".join(lines) + "\n")
        metrics = {name: history[-1][name] for name in ("train_loss", "validation_loss", "validation_accuracy")}
        parameters = sum(parameter.numel() for parameter in training.classifier.parameters())
        write_json(folder / "metrics.json", {"parameters": parameters, **metrics})
        save_weights(paths.weights(model), training.classifier.network, training.description)


def checkpoint_identity(params: Params, training: PreparedTraining, device: torch.device) -> dict[str, Any]:
    """All that the weights depend on, down to what changes the rounding of a sum."""
    model = training.description.model
    rounding = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
    return {
        "code": training_code_digest(model),
        "train": params.train.model_dump(include={"seed", "validation_share", model}),
        "precision": str(training.precision),
        "description": asdict(training.description),
        "init": file_digest(paths.INIT / init, "md5") if (init := training.settings.init) != "none" else None,
        "versions": [torch.__version__, np.__version__, torch.backends.cudnn.version()],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "instructions": [torch.backends.cpu.get_cpu_capability(), *map(os.environ.get, rounding)],
        "threads": torch.get_num_threads(),
        "processes": distributed.world_size(),
    }


def training_code_digest(model: str) -> str:
    """Digest of the code that the weights of `model` depend on: the dependencies in `src` of its stage in dvc.yaml."""
    try:
        deps = [str(dep) for dep in read_yaml(paths.PIPELINE)["stages"]["train"]["deps"]]
    except (KeyError, TypeError) as error:
        raise PipelineError(f"{paths.PIPELINE}: names no dependencies of the stage train: restore them") from error
    sources = [Path(dep.replace("${item.model}", model)) for dep in deps if dep.startswith("src/")]
    return files_digest(file for source in sources for file in (source, *source.rglob("*.py")) if file.is_file())
