"""What a row shows, told from the parameters and from the files that DVC keeps; nothing here knows MLflow."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import SplitName, load_split
from mnist_pipeline.files import directory_digest, file_digest, read_json
from mnist_pipeline.params import Params

EPOCH_METRICS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "learning_rate": "train/learning_rate",
    "validation_loss": "val/loss",
    "validation_accuracy": "val/accuracy",
}
"""Columns of `history.csv`, and what MLflow calls them."""


@dataclass(frozen=True)
class DataUse:
    """The images that a stage read, and what for; `digest` is that of the whole of `data/raw`."""

    name: str
    digest: str
    shape: tuple[int, ...]
    context: str


@dataclass(frozen=True)
class Part:
    """What one stage adds to a row; `artifacts` are files or folders, each with the artifact folder that takes it."""

    stage: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[tuple[Path, str]] = ()
    data: DataUse | None = None


def data_md5() -> str:
    return directory_digest(paths.RAW)


def weights_md5(model: str) -> str:
    return file_digest(paths.weights(model), "md5")


def onnx_md5(model: str) -> str:
    return file_digest(paths.onnx(model), "md5")


def download(params: Params) -> Part:
    sizes = {f"bytes/{path.name}": float(path.stat().st_size) for path in sorted(paths.RAW.iterdir())}
    return Part("download", _texts(params.data.model_dump()), sizes)


def validation(params: Params, facts: Mapping[str, Any], data_docs: Path | None) -> Part:
    name, suite = params.validate_.chosen(params.data.dataset)
    settings = {"suite": name, **suite.model_dump()}
    return Part("validate", _texts(settings), _numbers(facts), [(data_docs, "data_docs")] if data_docs else [])


def training_settings(params: Params, model: str) -> Part:
    """What is known of a training before it begins."""
    shared = {name: getattr(params.train, name) for name in ("seed", "device", "validation_size")}
    settings = {"model": model, "dataset": params.data.dataset, **shared, **params.training(model).model_dump()}
    return Part("train", _texts(settings), data=_data_use(params, "train", "training"))


def training_results(model: str) -> Part:
    """What is known of a training when it is over, its history aside."""
    folder = paths.report("train", model)
    metrics = read_json(folder / "metrics.json")
    totals = {f"train/{name}": float(metrics[name]) for name in ("epochs", "parameters")}
    artifacts = [(paths.weights(model), "train"), (folder / "history.csv", "train")]
    return Part("train", metrics=totals, artifacts=artifacts)


def history(model: str) -> Iterator[tuple[int, dict[str, float]]]:
    """Each epoch, counted from 1, and its metrics."""
    with (paths.report("train", model) / "history.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            yield int(row["epoch"]), epoch_metrics({name: float(value) for name, value in row.items()})


def epoch_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of `history.csv` under the names that MLflow has for its columns."""
    return _numbers({EPOCH_METRICS[name]: value for name, value in row.items() if name in EPOCH_METRICS})


def evaluation(params: Params, model: str) -> Part:
    folder = paths.report("evaluate", model)
    metrics = read_json(folder / "metrics.json")
    del metrics["per_class"]  # a table among the artifacts: as charts they would bury the curves
    return Part(
        "evaluate",
        _texts(params.evaluate.model_dump(), "evaluate."),
        _numbers(metrics, "test/"),
        [(folder, "evaluate")],
        _data_use(params, "test", "evaluation"),
    )


def export(params: Params, model: str, timings: Mapping[str, float]) -> Part:
    metrics = read_json(paths.report("export", model) / "metrics.json")
    return Part("export", _texts(params.export.model_dump(), "export."), _numbers({**metrics, **timings}, "onnx/"))


def _data_use(params: Params, split: SplitName, context: str) -> DataUse:
    images = load_split(paths.RAW, split).images
    return DataUse(f"{params.data.dataset}-{split}", data_md5(), images.shape, context)


def _texts(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    return {name: str(value) for name, value in _leaves(settings, prefix, ".")}


def _numbers(content: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The finite numbers among the leaves: MLflow takes no others."""
    leaves = _leaves(content, prefix, "/")
    return {name: float(value) for name, value in leaves if isinstance(value, Real) and math.isfinite(value)}


def _leaves(content: Mapping[str, Any], prefix: str, separator: str) -> Iterator[tuple[str, Any]]:
    """The leaves of a nested mapping, each under the path that leads to it."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}{separator}", separator)
        else:
            yield f"{prefix}{key}", value
