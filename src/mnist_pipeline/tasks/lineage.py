"""From an artifact, a run, an address of the registry, a commit or a tag to all that is known of its origin."""

import json
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import file_digest
from mnist_pipeline.history import ancestry, git, revisions
from mnist_pipeline.history.ancestry import Record
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.history.revisions import Revision
from mnist_pipeline.params import Params
from mnist_pipeline.serving.network import said_by
from mnist_pipeline.tracking.registry import RegisteredVersion, Registry
from mnist_pipeline.tracking.search import TrackedRun, find_tracked, tracked_run

MODEL_FILES = re.compile(r"models/[^/]+/(weights\.safetensors|model\.onnx)")
LONG = "validate"
"""The section that only JSON shows: it holds the suites of every data set."""
RUN_ID = re.compile(r"[0-9a-f]{32}")
ARTIFACT_TAG = re.compile(r"(?P<model>[a-z][a-z0-9-]*)@v\d+\.\d+\.\d+")


@dataclass
class Lineage:
    """What is known of one artifact; `unknown` says in words what is not.

    `commit` is the oldest that records it, `tags` are git's tags of it and of later commits that record it too;
    `says` is what a file says of itself, where nothing else is known of it.
    """

    artifact: str
    md5: str
    commit: str | None = None
    tags: list[str] = field(default_factory=list)
    experiment: str | None = None
    stage: str | None = None
    data_md5: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    runs: list[TrackedRun] = field(default_factory=list)
    versions: list[RegisteredVersion] = field(default_factory=list)
    says: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def run(params: Params, name: str, as_json: bool) -> None:
    """Prints where `name` comes from.

    Raises:
        PipelineError: `name` is nothing that has an origin.
    """
    found = trace(params, name)
    if as_json:
        sys.stdout.write(json.dumps([asdict(lineage) for lineage in found], indent=2) + "\n")
        return
    for lineage in found:
        _show(lineage)


def trace(params: Params, name: str) -> list[Lineage]:
    """The lineage of each artifact that `name` means; a commit means its trained and exported models."""
    history = _history()
    experiment = params.tracking.experiment
    if Path(name).is_file():
        lineage = _lineage(experiment, history, name, file_digest(Path(name), "md5"))
        if lineage.stage is None:
            lineage.says = said_by(Path(name))
        return [lineage]
    if name.startswith("models:/"):
        version = Registry(experiment).find_address(name)
        return [_lineage(experiment, history, name, version.md5)]
    if RUN_ID.fullmatch(name):
        tracked = tracked_run(experiment, name)
        if tracked and not tracked.md5:
            raise PipelineError(f"{name}: this run, {tracked.name} {tracked.status}, made nothing: it has no origin")
        if tracked:
            return [_lineage(experiment, history, f"run {tracked.name}", tracked.md5)]
    tag = ARTIFACT_TAG.fullmatch(name)
    try:
        git.commit_of(name)
    except PipelineError as error:
        raise PipelineError(f"{name}: no file, no run or version in MLflow, and no commit or tag of git") from error
    revision = revisions.at(name)
    wanted = re.compile(re.escape(str(paths.onnx(tag["model"])))) if tag else MODEL_FILES
    records = [record for record in ancestry.records(revision) if wanted.fullmatch(record.path)]
    if not records:
        raise PipelineError(f"{name}: {paths.LOCK} of this commit records no model")
    return [_lineage(experiment, history, record.path, record.md5) for record in records]


def _history() -> list[Revision]:
    """Commits from the oldest, then DVC's experiments, then what is not committed yet."""
    committed = [*reversed(revisions.all_commits()), *Cache().experiments()]
    return [*committed, revisions.work_tree()] if paths.LOCK.exists() else committed


def _lineage(experiment: str, history: list[Revision], artifact: str, md5: str) -> Lineage:
    lineage = Lineage(artifact, md5)
    records = ancestry.records_of(md5, history)
    if records:
        _tell_origin(lineage, records)
    else:
        lineage.unknown.append(f"commit, parameters and data: no {paths.LOCK} of this repository records these bytes")
    try:
        _tell_tracking(lineage, experiment, records)
    except PipelineError as error:
        lineage.unknown.append(f"runs and registry: {error}")
    return lineage


def _tell_origin(lineage: Lineage, records: list[Record]) -> None:
    first = records[0]
    lineage.stage, lineage.data_md5, lineage.parameters = first.stage, first.output(str(paths.RAW)), first.values
    lineage.commit, lineage.experiment = first.revision.baseline or first.revision.commit, first.revision.experiment
    if first.revision.commit:
        tags = git.ask("tag", "--contains", first.revision.commit).split()
        lineage.tags = [tag for tag in tags if lineage.md5 in git.file_at(tag, str(paths.LOCK))]
    if lineage.commit is None:
        lineage.unknown.append("commit: these bytes are not committed yet")


def _tell_tracking(lineage: Lineage, experiment: str, records: list[Record]) -> None:
    weights = {lineage.md5}
    for record in records:
        outputs = (record.output(str(paths.weights(stage.partition("@")[2]))) for stage in record.stages)
        weights |= {output for output in outputs if output}
    lineage.runs = [run for md5 in sorted(weights) for run in find_tracked(experiment, md5)]
    lineage.versions = Registry(experiment).versions_of(lineage.md5)
    if records and not lineage.runs:
        lineage.unknown.append("run: MLflow shows none; mnist-pipeline sync --all-commits writes it")


def _show(lineage: Lineage) -> None:
    console = Console(soft_wrap=True, highlight=False)
    lines = {
        "md5": lineage.md5,
        "commit": lineage.commit and git.ask("show", "--no-patch", "--format=%h %s", lineage.commit),
        "tags": ", ".join(lineage.tags),
        "experiment": lineage.experiment,
        "stage": lineage.stage,
        str(paths.RAW): lineage.data_md5,
        "runs": "; ".join(f"{run.name} {run.run_id} {run.status}" for run in lineage.runs),
        "registry": "; ".join(" ".join([v.name, f"version {v.version}", *v.aliases]) for v in lineage.versions),
        **{section: _told(content) for section, content in lineage.parameters.items() if section != LONG},
        "says": _told(lineage.says),
        "not known": "; ".join(lineage.unknown),
    }
    console.print(lineage.artifact, markup=False)
    for title, text in lines.items():
        if text:
            console.print(f"  {title:<11}{text}", markup=False)


def _told(section: dict[str, Any] | list[str]) -> str:
    """A section of the parameters in one line; `models` is a list."""
    return " ".join(_leaves(section) if isinstance(section, dict) else section)


def _leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    leaves: list[str] = []
    for key, value in content.items():
        leaves += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}={value}"]
    return leaves
