"""Tells which digit is in a picture."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import load_params
from mnist_pipeline.serving.picture import as_in_mnist
from mnist_pipeline.serving.session import Network, open_network

SUFFIXES = (".png", ".jpg", ".jpeg")
COLUMNS = ("picture", "label", "probability", "")


@dataclass(frozen=True)
class Prediction:
    """The most probable label of a picture, and the probability of each; `warning` where it looks like none."""

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    warning: str | None


def run(names: Sequence[str], model: str | None, as_json: bool) -> None:
    """Prints a prediction for each picture, and one line for each that cannot be read.

    Raises:
        PipelineError: a picture could not be read, or the model cannot be; the other pictures are told first.
    """
    pictures: list[tuple[Path, NDArray[np.uint8]]] = []
    mistakes: list[str] = []
    for name in names:
        for path in _files(Path(name), mistakes):
            try:
                pictures.append((path, as_in_mnist(path)))
            except PipelineError as error:
                mistakes.append(str(error))
    predictions = _predict(_network(model), pictures) if pictures else []
    if as_json:
        json.dump([asdict(prediction) for prediction in predictions], sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    elif predictions:
        _print(predictions)
    for mistake in mistakes:
        console.say(f"predict: {mistake}")
    if mistakes:
        raise PipelineError(f"{len(mistakes)} of {len(mistakes) + len(pictures)} could not be read")


def _files(path: Path, mistakes: list[str]) -> list[Path]:
    """The pictures of a folder, or the file itself."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not found:
        mistakes.append(f"{path}: a folder without {', '.join(SUFFIXES)}")
    return found


def _network(name: str | None) -> Network:
    """What a file, an address of MLflow's registry, or a model of `params.yaml` means; by default the first of these.

    Raises:
        PipelineError: there is no such model.
    """
    if name is not None and name.endswith(".onnx"):
        return open_network(Path(name))
    params = load_params()
    if name is None or not name.startswith("models:"):
        chosen = name or params.models[0]
        params.training(chosen)
        if not paths.onnx(chosen).exists():
            raise PipelineError(f"{paths.onnx(chosen)}: missing: run dvc repro, or dvc pull")
        return open_network(paths.onnx(chosen))
    from mnist_pipeline.tracking.registry import Registry

    registry = Registry(params.tracking.experiment)
    with TemporaryDirectory() as folder:
        return open_network(registry.fetch_network(registry.find_address(name), Path(folder)))


def _predict(network: Network, pictures: Sequence[tuple[Path, NDArray[np.uint8]]]) -> list[Prediction]:
    probabilities, familiar = network.ask(np.stack([image for _, image in pictures]))
    predictions = []
    for (path, _), row, known in zip(pictures, probabilities, familiar, strict=True):
        named = {label: round(float(share), 6) for label, share in zip(network.label_names, row, strict=True)}
        best = network.label_names[int(row.argmax())]
        warning = None if known else f"looks like nothing that {network.name} was trained on"
        predictions.append(Prediction(str(path), best, named[best], named, warning))
    return predictions


def _print(predictions: Sequence[Prediction]) -> None:
    table = Table(*COLUMNS, box=None)
    for prediction in predictions:
        cells = prediction.image, prediction.label, f"{prediction.probability:.1%}", prediction.warning or ""
        table.add_row(*map(escape, cells))
    Console(width=None if Console().is_terminal else 200).print(table)
