"""From an artifact, a run, an address of the registry, a commit or a tag to all that is known of its origin."""

import json
import os
import re
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.export.network import file_metadata
from mnist_pipeline.formats import file_digest
from mnist_pipeline.history import git, revisions
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.history.lock import parameters, upstream
from mnist_pipeline.history.revisions import Revision
from mnist_pipeline.params import Params
from mnist_pipeline.tracking.registry import RegisteredVersion, Registry
from mnist_pipeline.tracking.runs import TrackedRun, tracked_runs

MODEL_FILES = r"models/[^/]+/(weights\.safetensors|model\.onnx)"
RUN_ID = re.compile(r"[0-9a-f]{32}")
MODEL_TAG = re.compile(r"(?:.+=)?(?P<model>[a-z][a-z0-9-]*)(?:@v\d.*|#.+)")
"""A version or a stage of a model, as GTO tags it; in a subfolder, its path precedes."""


@dataclass
class Lineage:
    """What is known of one artifact; `unknown` names in words what is not.

    `commit` is the oldest that records it, `tags` are git's tags of it and of later commits that record it too;
    `metadata` are those in the file, where nothing else is known of it.
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
    metadata: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def run(params: Params, name: str, as_json: bool) -> None:
    """Print where `name` comes from; a `PipelineError` where it is nothing that has an origin."""
    found = trace(params, name)
    as_list = json.dumps([asdict(lineage) for lineage in found], indent=2) + "\n"
    sys.stdout.write(as_list if as_json else "".join(map(_text, found)))


def trace(params: Params, name: str) -> list[Lineage]:
    """The lineage of each artifact that `name` means; a commit means its trained and exported models."""
    experiment = params.tracking.experiment
    lineages = [Lineage(artifact, md5) for artifact, md5 in _artifacts(experiment, name)]
    cache = Cache()
    history = [*reversed(revisions.all_commits()), *cache.experiments()]  # from the oldest commit
    if paths.LOCK.exists():
        history.append(revisions.work_tree())
    for lineage in lineages:
        digests = _recorded_as(lineage, history, cache)
        makers = [
            (revision, stage)
            for revision in history
            for stage, locked in revision.lock.items()
            if not digests.isdisjoint(locked.outputs.values())
        ]
        if makers:
            _add_origin(lineage, *makers[0], digests)
        else:
            lineage.unknown.append(f"commit, parameters and data: no {paths.LOCK} in this repository has these bytes")
            lineage.metadata = file_metadata(Path(lineage.artifact))
        try:
            _add_tracking(lineage, experiment, makers, digests)
        except PipelineError as error:
            lineage.unknown.append(f"runs and registry: {error}")
    return lineages


def _artifacts(experiment: str, name: str) -> list[tuple[str, str]]:
    """What `name` means: the titles of artifacts, each with its MD5."""
    if Path(name).is_file():
        return [(name, file_digest(Path(name), "md5"))]
    if name.startswith("models:/"):
        return [(name, Registry(experiment).find_address(name).md5)]
    for tracked in tracked_runs(experiment, run_id=name) if RUN_ID.fullmatch(name) else []:
        if not tracked.md5:
            raise PipelineError(f"{name}: this run, {tracked.name} {tracked.status}, made nothing: it has no origin")
        return [(f"run {tracked.name}", tracked.md5)]
    if git.find_commit(name) is None:
        raise PipelineError(f"{name}: no file, no run or version in MLflow, and no commit or tag of git")
    tag = MODEL_TAG.fullmatch(name)
    wanted = re.escape(paths.onnx(tag["model"]).as_posix()) if tag else MODEL_FILES
    found = [(path, md5) for path, md5 in revisions.at(name).outputs.items() if re.fullmatch(wanted, path)]
    if not found:
        raise PipelineError(f"{name}: {paths.LOCK} of this commit records no model")
    return found


def _recorded_as(lineage: Lineage, history: list[Revision], cache: Cache) -> set[str]:
    """The MD5 that `dvc.lock` has for an artifact: its own, or that of each folder above it which held these bytes."""
    if any(lineage.md5 in revision.outputs.values() for revision in history):
        return {lineage.md5}
    above = {parent.as_posix() for parent in Path(os.path.relpath(lineage.artifact)).parents}
    folders = {md5 for revision in history for path, md5 in revision.outputs.items() if path in above}
    return {md5 for md5 in folders if not cache.lacks(md5) and lineage.md5 in cache.files(md5).values()}


def _add_origin(lineage: Lineage, first: Revision, maker: str, digests: set[str]) -> None:
    lock, lineage.stage = first.lock, maker
    stages = upstream(lock, maker)
    lineage.parameters = parameters(lock[stage] for stage in reversed(stages))
    raw = str(paths.RAW)
    lineage.data_md5 = next((lock[stage].outputs[raw] for stage in stages if raw in lock[stage].outputs), None)
    lineage.commit, lineage.experiment = first.baseline or first.commit, first.experiment
    if first.commit:
        tags = git.tags_with(first.commit)
        locks = zip(tags, git.files_at(tags, paths.LOCK), strict=True)
        lineage.tags = [tag for tag, text in locks if any(md5 in (text or "") for md5 in digests)]
    if lineage.commit is None:
        lineage.unknown.append("commit: these bytes are not committed yet")
    elif lineage.commit in git.cut_off_commits():
        oldest, lineage.commit = lineage.commit, None
        lineage.unknown.append(f"commit: this shallow clone ends at {oldest}, which has it: run git fetch --unshallow")


def _add_tracking(lineage: Lineage, experiment: str, makers: list[tuple[Revision, str]], digests: set[str]) -> None:
    """The runs of these bytes, or of the weights that they were made of."""
    shown = {lineage.md5} | digests
    for revision, maker in makers:
        for stage in upstream(revision.lock, maker):
            weights = str(paths.weights(stage.partition("@")[2]))
            shown.add(revision.lock[stage].outputs.get(weights, lineage.md5))
    lineage.runs = [run for md5 in sorted(shown) for run in tracked_runs(experiment, md5)]
    lineage.versions = Registry(experiment).versions(md5=lineage.md5)
    if makers and not lineage.runs:
        lineage.unknown.append("run: MLflow shows none; mnist-pipeline sync --all-commits writes it")


def _text(lineage: Lineage) -> str:
    lines = {
        "md5": lineage.md5,
        "commit": lineage.commit and git.subject(lineage.commit),
        "tags": ", ".join(lineage.tags),
        "experiment": lineage.experiment,
        "stage": lineage.stage,
        str(paths.RAW): lineage.data_md5,
        "runs": "; ".join(f"{run.name} {run.run_id} {run.status}" for run in lineage.runs),
        "registry": "; ".join(" ".join([v.name, f"version {v.version}", *v.aliases]) for v in lineage.versions),
        **{section: _flat(content) for section, content in lineage.parameters.items()},
        "metadata": _flat(lineage.metadata),
        "not known": "; ".join(lineage.unknown),
    }
    known = [f"  {title:<11}{text}" for title, text in lines.items() if text]
    return "\n".join([lineage.artifact, *known, ""])


def _flat(section: Any, name: str = "") -> str:
    """A section of the parameters in one line, such as `seed=1 mlp.epochs=2`."""
    if isinstance(section, dict):
        items = ((key, value) for key, value in section.items() if key != "suites")  # of earlier commits, and very long
        return " ".join(_flat(value, f"{name}.{key}" if name else key) for key, value in items)
    return f"{name}={section}" if name else " ".join(map(str, section))
