"""What a run shows of each stage, from the parameters and from the files that DVC keeps; nothing here knows MLflow."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import SplitName
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json, read_table
from mnist_pipeline.formats import directory_digest, file_digest
from mnist_pipeline.history import git, revisions
from mnist_pipeline.history.lock import parameters
from mnist_pipeline.params import Params
from mnist_pipeline.tracking import legacy, origin

CURVES = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss", "learning_rate")
"""Columns of `history.csv`, in the order of MLflow's pages; the numbers in metrics.json are points of these curves."""
NOTE = "mlflow.note.content"
"""The tag that MLflow's pages show as the description of a run."""
NOTE_MD5 = "card.description_md5"
"""The tag with the digest of the description that was written, unlike one that somebody has changed since."""
LONGEST = 6000
"""Characters of a parameter, as MLflow 3.17 cuts it off: else it would differ from what is shown."""
STAGES_AFTER_TRAINING = ("evaluate", "export", "card")
"""The stages that add to the run of a trained model."""


@dataclass(frozen=True)
class Snapshot:
    """One state of the pipeline, in the work tree or in its history.

    `values` are parameters nested as in `params.yaml`, `origin` tags of the commit and the DVC experiment, `root` the
    folder that holds the files, and `recorded` the digests that `dvc.lock` has of them.
    """

    values: Mapping[str, Any]
    origin: Mapping[str, str]
    root: Path = Path()
    recorded: Mapping[str, str] = field(default_factory=dict)

    def value(self, key: str) -> Any:
        """The parameter or section of this name; a `PipelineError` where another release recorded none."""
        found: Any = self.values
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                raise PipelineError(f"{paths.LOCK} does not record the parameters {key}")
            found = found[part]
        return found

    def md5(self, path: Path) -> str:
        return self.recorded.get(str(path)) or file_digest(self.root / path, "md5")

    @cached_property
    def data_md5(self) -> str:
        known = self.recorded.get(str(paths.RAW)) or self._verdict.get("data_md5")
        return known or directory_digest(self.root / paths.RAW)

    def images(self, split: SplitName) -> Sequence[int]:
        """The shape of all images of a split; empty where the data have not been validated by this release."""
        known: Mapping[str, Sequence[int]] = self._verdict.get("images", {})
        return known.get(split, ())

    @cached_property
    def _verdict(self) -> Mapping[str, Any]:
        return read_json(self.root / paths.VERDICT) if (self.root / paths.VERDICT).exists() else {}


def of_work_tree(params: Params, new_data: bool = False) -> Snapshot:
    """What lies in the working folder, as the stages leave it; the last verdict is not of new data."""
    recorded = {str(paths.RAW): directory_digest(paths.RAW)} if new_data else {}
    return Snapshot(params.model_dump(by_alias=True), origin.of_work_tree(), recorded=recorded)


@dataclass(frozen=True)
class RunUpdate:
    """What one stage adds to a run.

    `curves` are epochs and their metrics, `artifacts` files or folders, each with the artifact folder that takes it;
    `reads` is a split of the data and what for, `network` an ONNX file that becomes a model of MLflow.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[tuple[int, Mapping[str, float]]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Sequence[tuple[Path, str]] = ()
    reads: tuple[SplitName, str] | None = None
    network: Path | None = None


def download(snapshot: Snapshot) -> RunUpdate:
    sizes = {f"bytes/{path.name}": path.stat().st_size for path in (snapshot.root / paths.RAW).iterdir()}
    data, own = snapshot.value("data"), snapshot.value("data.dataset") in ("idx", "folder")
    keys = ("dataset", "label_names", "image", "test") if own else ("dataset", "source")  # those that change the files
    return RunUpdate(_texts({key: data[key] for key in keys if key in data}), _numbers(sizes))


def validation(snapshot: Snapshot, facts: Mapping[str, Any], data_docs: Path | None = None) -> RunUpdate:
    """The facts of each split; those of each class are among the artifacts.

    The tag `suites.md5` is of what was expected; commits of earlier releases did not record it.
    """
    splits = {f"{split}/{name}": fact for split in ("train", "test") for name, fact in facts.get(split, {}).items()}
    suite = snapshot.value("validate.suite")
    artifacts = _reports(snapshot.root / paths.VALIDATION, "validate")
    artifacts += [(data_docs, "data_docs")] if data_docs else []
    suites, expected = snapshot.root / paths.SUITES, snapshot.recorded.get(str(paths.SUITES))
    if suite == "auto":
        suite, reported = snapshot.value("data.dataset"), snapshot.root / paths.VALIDATION / "facts.json"
        if suites.is_dir():
            suite = suite if (suites / f"{suite}.yaml").exists() else "any"
        elif reported.exists():  # of history, there are no suites
            suite = read_json(reported).get("suite", suite)
    params = {"suite": suite}
    if not expected and suites.is_dir() and all(file.is_file() for file in suites.iterdir()):
        expected = directory_digest(suites)
    tags = {"suites.md5": expected} if expected else {}
    return RunUpdate(params, _numbers({**facts, **splits}), tags=tags, artifacts=artifacts)


def training_params(snapshot: Snapshot, model: str) -> dict[str, str]:
    """The parameters of a training, by which its run is found; earlier releases had `validation_size`."""
    train, own = snapshot.value("train"), snapshot.value(f"train.{model}")
    shared = {key: train[key] for key in ("seed", "device", "validation_share", "validation_size") if key in train}
    return _texts({"model": model, "dataset": snapshot.value("data.dataset"), **shared, **own})


def training(snapshot: Snapshot, model: str) -> RunUpdate:
    weights, folder = paths.weights(model), snapshot.root / paths.report("train", model)
    metrics = read_json(folder / "metrics.json")
    history = read_table(folder / "history.csv", dict.fromkeys(("epoch", *CURVES), float)).to_dict("records")
    return RunUpdate(
        training_params(snapshot, model),
        _numbers({name: value for name, value in metrics.items() if name not in (*CURVES, "epochs")}),
        [(int(row["epoch"]), curve_points(row)) for row in history],
        {"dvc.md5": snapshot.md5(weights)} | _changed(snapshot, model),
        [(snapshot.root / weights, "train"), (folder / "history.csv", "train")],
        ("train", "training"),
    )


def curve_points(row: Mapping[Any, Any]) -> dict[str, float]:
    """The metrics of one epoch from its row of `history.csv`."""
    return _numbers({name: row[name] for name in CURVES if name in row})


def after_training(snapshot: Snapshot, stage: str, model: str) -> RunUpdate:
    """What evaluate, export or card adds to the run of a model; its settings are tags, which MLflow lets change."""
    folder, onnx, root = paths.report(stage, model), paths.onnx(model), snapshot.root
    result = {"export": onnx, "card": paths.model_card(model)}.get(stage, folder / "metrics.json")
    metrics = {} if stage == "card" else legacy.renamed(read_json(root / folder / "metrics.json"))
    # dvc.lock does not record how often export repeats its timing
    settings = {name: value for name, value in snapshot.value(stage).items() if name != "latency_repeats"}
    artifacts = _reports(root / folder, stage)
    tags = _texts(settings, f"{stage}.") | {f"{stage}.md5": snapshot.md5(result)}
    if stage == "card":
        _title, found, *more = (root / result).read_text("utf-8").partition("\n## ")[0].strip().split("\n\n")
        changed = [f"Changed: `{changes}`" for changes in _changed(snapshot, model).values()]
        tags[NOTE] = "\n\n".join([found, *changed, *more])
        tags[NOTE_MD5] = hashlib.md5(tags[NOTE].encode()).hexdigest()
    elsewhere = {"evaluate": paths.PREDICTIONS / f"{model}.csv", "export": paths.int8(model)}.get(stage)
    if elsewhere and (root / elsewhere).exists():
        artifacts.append((root / elsewhere, f"{stage}/{elsewhere.parent.name}"))
    return RunUpdate(
        metrics=_numbers({f"onnx/{name}" if stage == "export" else name: value for name, value in metrics.items()}),
        tags=tags,
        artifacts=artifacts,
        reads=("test", "evaluation") if stage == "evaluate" else None,
        network=root / onnx if stage == "export" else None,
    )


def _changed(snapshot: Snapshot, model: str) -> dict[str, str]:
    """The tag `changed`, as `epochs 12 → 6`: how a training differs from that of the commit before.

    That commit is the parent of the first that records these weights; until one does, the current commit or the
    baseline of the DVC experiment. Parameters that only one of the two releases has are left out.
    """
    weights = snapshot.md5(paths.weights(model))
    try:
        commit = git.first_commit_with(weights, paths.LOCK) or snapshot.origin.get("git.commit", "HEAD")
        revision = revisions.at(commit)
        if weights in revision.outputs.values():
            revision = revisions.at(f"{commit}^")
        trained = revision.lock.get(f"train@{model}")
        if not trained or str(paths.RAW) not in trained.dependencies:
            return {}
        values = parameters([*revision.lock.values(), trained])
        old = training_params(Snapshot(values, {}), model) | {"data": trained.dependencies[str(paths.RAW)][:7]}
    except PipelineError:  # no such commit, or one that another release recorded
        return {}
    new = training_params(snapshot, model) | {"data": snapshot.data_md5[:7]}
    changes = [f"{name} {old[name]} → {value}" for name, value in new.items() if old.get(name, value) != value]
    return {"changed": ", ".join(changes)} if changes else {}


def comparison(snapshot: Snapshot) -> RunUpdate:
    """How the models compare. A parameter is named after each model: how the MD5 of its weights begins."""
    names = {model: snapshot.md5(paths.weights(model))[:7] for model in snapshot.value("models")}
    settings = {"confidence": snapshot.value("evaluate.confidence"), **snapshot.value("compare")}
    report = paths.COMPARISON / "metrics.json"
    return RunUpdate(
        names | _texts(settings, "compare."),
        _numbers(read_json(snapshot.root / report)),
        tags={"dvc.md5": snapshot.md5(report)},
        artifacts=_reports(snapshot.root / paths.COMPARISON, "compare"),
        reads=("test", "evaluation"),
    )


def run_name(what: str, snapshot: Snapshot, otherwise: str) -> str:
    """A model or a stage and the DVC experiment, such as `lenet · faster`; without one, how an MD5 begins."""
    return f"{what} · {snapshot.origin.get('dvc.exp_name') or otherwise}"


def _reports(folder: Path, stage: str) -> list[tuple[Path, str]]:
    """The reports of a stage but for `.gitignore`, in an artifact folder of its name."""
    return [(path, f"{stage}/{path.name}" if path.is_dir() else stage) for path in sorted(folder.glob("[!.]*"))]


def _texts(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Leaf keys of nested settings, their parts joined by points, and the values as text.

    Whole numbers have no point: `params.yaml` may have 12 where the parameter is a float.
    """
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _texts(value, f"{prefix}{key}.")
        else:
            values = value if isinstance(value, list | tuple) else [value]
            plain = [int(each) if isinstance(each, float) and each.is_integer() else each for each in values]
            found[f"{prefix}{key}"] = str(plain if values is value else plain[0])[:LONGEST]
    return found


def _numbers(content: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers: MLflow takes no others."""
    return {name: float(value) for name, value in content.items() if isinstance(value, Real) and math.isfinite(value)}
