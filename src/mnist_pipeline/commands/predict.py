"""Predict the class of pictures."""

import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline import console, paths
from mnist_pipeline.data.picture import SUFFIXES, prepare
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.params import load_params
from mnist_pipeline.serving.session import Network, open_network

BATCH_SIZE = 100  # pictures in memory at once; what is predicted of them is printed before the next are read


def run(names: Sequence[str], model: str | None, as_json: bool) -> None:
    """Print a prediction for each picture, and one line for each that cannot be read, as it goes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a label or a file's name may have letters that the terminal lacks
    failures: list[str] = []
    files = [file for name in names for file in _files(Path(name), failures)]
    tried = len(files) + len(failures)
    predictions = _predictions(_network(model), files, failures) if files else iter(())
    if as_json:
        _print_json(predictions)
    else:
        width = max((len(str(file)) for file in files), default=0)
        for found in predictions:
            label_width = max(map(len, found["probabilities"]))
            line = f"{found['image']:<{width}}  {found['label']:<{label_width}}  {found['probability']:6.1%}"
            line += f"  {found['warning']}" if found["warning"] else ""
            sys.stdout.write("".join(letter if letter.isprintable() else "?" for letter in line) + "\n")
            sys.stdout.flush()
    if failures:
        raise PipelineError(f"{len(failures)} of {tried} could not be read")


def _files(path: Path, failures: list[str]) -> list[Path]:
    """The pictures of a folder and of those within it, or the file itself."""
    try:
        if not path.is_dir():
            return [path]
        every = sorted(file for file in path.rglob("*") if not file.is_dir())
    except OSError as error:
        _report(f"{path}: cannot be read: {error.strerror}", failures)
        return []
    found = [file for file in every if file.suffix.lower() in SUFFIXES]
    if not found:
        _report(f"{path}: a folder without {', '.join(SUFFIXES)}", failures)
    elif others := len(every) - len(found):
        console.info(f"predict: {path}: {others} of {len(every)} left out: not {', '.join(SUFFIXES)} by name")
    return found


def _report(failure: str, failures: list[str]) -> None:
    failures.append(failure)
    console.info(f"predict: {one_line(failure)}")


def _network(name: str | None) -> Network:
    """The network in a file, in MLflow's registry, or of a model of `params.yaml`; by default the first of these."""
    if name is not None and name.endswith(".onnx"):
        return open_network(Path(name))
    params = load_params()
    if name is not None and name.startswith("models:"):
        from mnist_pipeline.tracking.registry import Registry

        registry = Registry(params.tracking.experiment)
        with TemporaryDirectory() as folder:
            return open_network(registry.fetch_network(registry.find_address(name), Path(folder)))
    model = name or params.models[0]
    params.training(model)
    return open_network(paths.onnx(model))


def _predictions(network: Network, files: Sequence[Path], failures: list[str]) -> Iterator[dict[str, Any]]:
    """The most probable label of each picture, the probabilities, and a warning where it is out of distribution."""
    labels, settings = network.metadata.label_names, network.metadata.picture
    for start in range(0, len(files), BATCH_SIZE):
        pictures: list[tuple[Path, NDArray[np.uint8]]] = []
        for file in files[start : start + BATCH_SIZE]:
            try:
                pictures.append((file, prepare(file, settings, network.image_shape)))
            except PipelineError as error:
                _report(str(error), failures)
        if not pictures:
            continue
        probabilities, out_of_distribution = network.classify(np.stack([image for _, image in pictures]))
        for (file, _), row, warned in zip(pictures, probabilities, out_of_distribution, strict=True):
            best = int(row.argmax())
            yield {
                "image": str(file).encode(errors="replace").decode(),  # JSON is text; the name of a file may be none
                "label": labels[best],
                "probability": round(float(row[best]), 6),
                "probabilities": {label: round(float(value), 6) for label, value in zip(labels, row, strict=True)},
                "warning": f"looks like nothing that {network.metadata.model} was trained on" if warned else None,
            }


def _print_json(predictions: Iterable[dict[str, Any]]) -> None:
    """Print an array of objects, one by one."""
    before = "["
    for prediction in predictions:
        text = json.dumps(prediction, indent=2, ensure_ascii=sys.stdout.encoding != "utf-8")
        sys.stdout.write(before + "\n  " + text.replace("\n", "\n  "))
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")
