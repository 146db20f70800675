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

EPOCH_METRICS = {
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "learning_rate": "train/learning_rate",
    "validation_loss": "val/loss",
    "validation_accuracy": "val/accuracy",
}
"""Columns of `history.csv`, and what MLflow calls them."""
EVALUATION_PARTS = {"robustness": "robustness/", "attack": "robustness/attack_", "out_of_distribution": "ood/"}
"""Parts of the report of `evaluate`, and how MLflow's names of their numbers begin; those of the rest are `test/`."""


@dataclass(frozen=True)
class Version:
    """One state of the pipeline, in the work tree or in its history.

    `values` are the parameters as `params.yaml` nests them, `root` is the folder that holds its files, and `origin`
    are the tags of its commit and its DVC experiment.
    """

    values: Mapping[str, Any]
    origin: Mapping[str, str]
    root: Path = Path()

    @property
    def data_md5(self) -> str:
        return directory_digest(self.root / paths.RAW)

    def weights_md5(self, model: str) -> str:
        return file_digest(self.root / paths.weights(model), "md5")


@dataclass(frozen=True)
class DataUse:
    """The images that a stage read, and what for; `digest` is that of the whole of `data/raw`."""

    name: str
    digest: str
    shape: tuple[int, ...]
    context: str


@dataclass(frozen=True)
class Part:
    """What one stage adds to a row.

    `artifacts` are files or folders, each with the artifact folder that takes it; `md5` is that of the stage's result,
    of a stage that adds to the row of another.
    """

    stage: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[tuple[Path, str]] = ()
    data: DataUse | None = None
    md5: str = ""


def row_name(model: str, weights_md5: str) -> str:
    """What the row of a trained model is called."""
    return f"{model}-{weights_md5[:7]}"


def download(version: Version) -> Part:
    folder = version.root / paths.RAW
    sizes = {f"bytes/{path.name}": float(path.stat().st_size) for path in sorted(folder.iterdir())}
    return Part("download", _texts(version.values["data"]), sizes)


def validation(version: Version, facts: Mapping[str, Any], data_docs: Path | None) -> Part:
    gate, dataset = version.values["validate"], version.values["data"]["dataset"]
    name = dataset if gate["suite"] == "auto" else gate["suite"]
    settings = {"suite": name, **gate["suites"][name]}
    return Part("validate", _texts(settings), _numbers(facts), [(data_docs, "data_docs")] if data_docs else [])


def training_settings(version: Version, model: str) -> Part:
    """What is known of a training before it begins."""
    train = version.values["train"]
    shared = {name: train[name] for name in ("seed", "device", "validation_size")}
    settings = {"model": model, "dataset": version.values["data"]["dataset"], **shared, **train[model]}
    return Part("train", _texts(settings), data=_data_use(version, "train", "training"))


def training_results(version: Version, model: str) -> Part:
    """What is known of a training when it is over, its history aside."""
    folder = version.root / paths.report("train", model)
    metrics = read_json(folder / "metrics.json")
    totals = {f"train/{name}": float(metrics[name]) for name in ("epochs", "parameters")}
    artifacts = [(version.root / paths.weights(model), "train"), (folder / "history.csv", "train")]
    return Part("train", metrics=totals, artifacts=artifacts)


def history(version: Version, model: str) -> Iterator[tuple[int, dict[str, float]]]:
    """Each epoch, counted from 1, and its metrics."""
    with (version.root / paths.report("train", model) / "history.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            yield int(row["epoch"]), epoch_metrics({name: float(value) for name, value in row.items()})


def epoch_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of `history.csv` under the names that MLflow has for its columns."""
    return _numbers({EPOCH_METRICS[name]: value for name, value in row.items() if name in EPOCH_METRICS})


def evaluation(version: Version, model: str) -> Part:
    folder = version.root / paths.report("evaluate", model)
    metrics = read_json(folder / "metrics.json")
    del metrics["per_class"]  # a table among the artifacts: as charts they would bury the curves
    parts = {prefix: metrics.pop(name, {}) for name, prefix in EVALUATION_PARTS.items()}  # earlier commits have fewer
    numbers = {"test/": metrics, **parts}
    return Part(
        "evaluate",
        _texts(version.values["evaluate"], "evaluate."),
        {name: number for prefix, content in numbers.items() for name, number in _numbers(content, prefix).items()},
        [(folder, "evaluate")],
        _data_use(version, "test", "evaluation"),
        file_digest(folder / "metrics.json", "md5"),
    )


def compared(version: Version) -> dict[str, str]:
    """The models that a comparison is of, each with the MD5 of its predictions."""
    with (version.root / paths.COMPARISON / "models.csv").open(newline="") as lines:
        return {row["model"]: row["predictions_md5"] for row in csv.DictReader(lines)}


def comparison(version: Version) -> Part:
    """What the models' answers say together. A parameter is named after each model: what its own row is called."""
    folder = version.root / paths.COMPARISON
    metrics = read_json(folder / "metrics.json")
    pairs = metrics.pop("pairs")
    names = {model: row_name(model, version.weights_md5(model)) for model in version.values["models"]}
    settings = {"confidence": version.values["evaluate"]["confidence"], **version.values["compare"]}
    return Part(
        "compare",
        names | _texts(settings, "compare."),
        _numbers(metrics) | _numbers(pairs),
        [(path, "compare") for path in sorted(folder.glob("[!.]*"))],
        _data_use(version, "test", "evaluation"),
        file_digest(folder / "metrics.json", "md5"),
    )


def export(version: Version, model: str, timings: Mapping[str, float]) -> Part:
    """The parity of the network, and its latencies where they are known: they are in no file.

    Earlier commits have no network in INT8, and it is not offered of every model.
    """
    metrics = read_json(version.root / paths.report("export", model) / "metrics.json")
    int8 = version.root / paths.int8(model)
    return Part(
        "export",
        _texts(version.values["export"], "export."),
        _numbers({**metrics, **timings}, "onnx/"),
        [(int8, "export/int8")] if int8.exists() else [],
        md5=file_digest(version.root / paths.onnx(model), "md5"),
    )


def card(version: Version, model: str) -> Part:
    folder = version.root / paths.report("card", model)
    return Part("card", artifacts=[(folder, "card")], md5=file_digest(version.root / paths.model_card(model), "md5"))


def _data_use(version: Version, split: SplitName, context: str) -> DataUse:
    images = load_split(version.root / paths.RAW, split).images
    return DataUse(f"{version.values['data']['dataset']}-{split}", version.data_md5, images.shape, context)


def _texts(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    return {name: str(_plain(value)) for name, value in _leaves(settings, prefix, ".")}


def _plain(value: Any) -> Any:
    """Whole numbers without a point: `params.yaml` may say 12 where the parameter is a float."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
