"""Tells which digit is in a picture."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import load_params
from mnist_pipeline.serving.picture import as_in_mnist
from mnist_pipeline.serving.session import Network, open_network

SUFFIXES = (".png", ".jpg", ".jpeg")
BATCH_SIZE = 100
"""Pictures that are in memory at once; what is predicted of them is printed before the next are read."""
GAP = "  "


@dataclass(frozen=True)
class Prediction:
    """The most probable label of a picture, and the probability of each; `warning` where it looks like none."""

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    warning: str | None


def run(names: Sequence[str], model: str | None, as_json: bool) -> None:
    """Prints a prediction for each picture, and one line for each that cannot be read, as it goes.

    Raises:
        PipelineError: the model cannot be read, or a picture could not be; the other pictures are told first.
    """
    mistakes = _Mistakes()
    files = [file for name in names for file in _files(Path(name), mistakes)]
    predictions = _predictions(_network(model), files, mistakes) if files else iter(())
    if as_json:
        _print_json(predictions)
    else:
        _print_lines(predictions, max((len(_shown(file)) for file in files), default=0))
    if mistakes.count:
        raise PipelineError(f"{mistakes.count} of {mistakes.count + mistakes.read} could not be read")


class _Mistakes:
    """Tells what cannot be read, and counts it, and what can."""

    def __init__(self) -> None:
        self.count = 0
        self.read = 0

    def tell(self, mistake: str) -> None:
        self.count += 1
        console.say(f"predict: {mistake}")


def _files(path: Path, mistakes: _Mistakes) -> list[Path]:
    """The pictures of a folder, or the file itself."""
    try:
        if path.is_dir():
            every = sorted(path.iterdir())
            found = [file for file in every if file.suffix.lower() in SUFFIXES]
            if not found:
                mistakes.tell(f"{path}: a folder without {', '.join(SUFFIXES)}")
            elif others := len(every) - len(found):
                console.say(f"predict: {path}: {others} of {len(every)} left out: not {', '.join(SUFFIXES)} by name")
            return found
        if path.is_file() or not path.exists():
            return [path]
        mistakes.tell(f"{path}: neither a file nor a folder")
    except OSError as error:
        mistakes.tell(f"{_shown(path)}: cannot be read: {error.strerror}")
    return []


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


def _predictions(network: Network, files: Sequence[Path], mistakes: _Mistakes) -> Iterator[Prediction]:
    pictures = _pictures(files, mistakes)
    while batch := list(islice(pictures, BATCH_SIZE)):
        probabilities, familiar = network.ask(np.stack([image for _, image in batch]))
        for (file, _), row, known in zip(batch, probabilities, familiar, strict=True):
            yield _prediction(network, file, row, known=bool(known))


def _pictures(files: Sequence[Path], mistakes: _Mistakes) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Each file that can be read, with the image that a network takes."""
    for file in files:
        try:
            image = as_in_mnist(file)
        except PipelineError as error:
            mistakes.tell(str(error))
        else:
            mistakes.read += 1
            yield file, image


def _prediction(network: Network, file: Path, row: NDArray[np.float32], *, known: bool) -> Prediction:
    named = {label: round(float(share), 6) for label, share in zip(network.label_names, row, strict=True)}
    best = network.label_names[int(row.argmax())]
    warning = None if known else f"looks like nothing that {network.name} was trained on"
    return Prediction(_shown(file), best, named[best], named, warning)


def _shown(file: Path) -> str:
    """A file's name; what of it is no text, as a question mark."""
    return str(file).encode(errors="replace").decode()


def _print_json(predictions: Iterator[Prediction]) -> None:
    """An array of objects, written one by one."""
    before = "["
    for prediction in predictions:
        text = json.dumps(asdict(prediction), indent=2, ensure_ascii=False)
        sys.stdout.write(before + "\n  " + text.replace("\n", "\n  "))
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def _print_lines(predictions: Iterator[Prediction], width: int) -> None:
    for prediction in predictions:
        label = f"{prediction.label:<{max(map(len, prediction.probabilities))}}"
        words = f"{prediction.image:<{width}}", label, f"{prediction.probability:6.1%}", prediction.warning or ""
        sys.stdout.write(GAP.join(words).rstrip() + "\n")
        sys.stdout.flush()
