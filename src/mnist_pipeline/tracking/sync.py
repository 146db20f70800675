"""Writes the rows that MLflow lacks, from what DVC has recorded and keeps: MLflow is a view of that.

A row that `sync` writes is the one that the stages would have logged, but for its times and its tag `source`.
Latencies and Data Docs, which are in no file of DVC's, it does not have.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mnist_pipeline import console, paths
from mnist_pipeline.files import read_json
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.history.lock import LockedStage, merge
from mnist_pipeline.history.revisions import Revision
from mnist_pipeline.tracking import content, origin, rows
from mnist_pipeline.tracking.alive import close_dead_runs
from mnist_pipeline.tracking.comparison_rows import add_comparison_row
from mnist_pipeline.tracking.content import Part, Version
from mnist_pipeline.tracking.data_rows import add_data_row
from mnist_pipeline.tracking.store import Store, open_store, told_in_one_line

NAMED = 3
"""How many missing files a message names."""
RAW, GATE = str(paths.RAW), str(paths.VALIDATION / "metrics.json")
COMPARISON = str(paths.COMPARISON / "metrics.json")


LATER_PARTS: Mapping[str, Callable[[Version, str], Part]] = {
    "evaluate": content.evaluation,
    "export": lambda version, model: content.export(version, model, {}),
    "card": content.card,
}


@dataclass
class Outcome:
    """The names of the rows that were written, how many needed nothing, and which were left out and why."""

    written: list[str] = field(default_factory=list)
    complete: int = 0
    left_out: list[str] = field(default_factory=list)


def sync(experiment: str, revisions: Sequence[Revision], cache: Cache, pull: bool) -> Outcome:
    """Adds to the store what it lacks of each revision; of the same weights, the first revision is shown.

    Files that are not in DVC's cache are fetched with `pull`; without it their rows are left out.

    Raises:
        PipelineError: MLflow or the remote fails; what was written stays, and the same again goes on.
    """
    with told_in_one_line():
        store = open_store(experiment)
        close_dead_runs(store.client)
        work = _Sync(store, cache, pull)
        for revision in revisions:
            work.add(revision)
    return work.outcome


class _Sync:
    """One walk through revisions."""

    def __init__(self, store: Store, cache: Cache, pull: bool) -> None:
        self._store = store
        self._cache = cache
        self._pull = pull
        self._seen: set[str] = set()
        self.outcome = Outcome()

    def add(self, revision: Revision) -> None:
        for name in revision.lock:
            kind, _, model = name.partition("@")
            title = f"{name}, {revision}"
            try:
                if kind in ("download", "validate"):
                    self._add_data(title, revision, kind)
                elif kind == "train":
                    self._add_model(title, revision, model)
                elif kind == "compare":
                    self._add_comparison(title, revision)
            except KeyError as error:
                self.outcome.left_out.append(f"{title}: another version of the pipeline recorded it, without {error}")

    def _add_data(self, title: str, revision: Revision, kind: str) -> None:
        stage = revision.lock[kind]
        files = stage.outputs if kind == "download" else {RAW: stage.dependencies[RAW], GATE: stage.outputs[GATE]}
        with self._version(title, revision, [stage], files, files[RAW]) as version:
            if version:
                if kind == "download":
                    part = content.download(version)
                else:
                    part = content.validation(version, read_json(version.root / GATE)["facts"], None)
                self._count(title, add_data_row(self._store, version, part, "FINISHED", "sync"))

    def _add_model(self, title: str, revision: Revision, model: str) -> None:
        weights = str(paths.weights(model))
        train = revision.lock[f"train@{model}"]
        later = {
            name: stage
            for name in rows.LATER_STAGES
            if (stage := revision.lock.get(f"{name}@{model}"))
            and stage.dependencies.get(weights) == train.outputs[weights]  # else it is of older weights
        }
        files = {RAW: train.dependencies[RAW], **train.outputs}
        for stage in later.values():
            files |= stage.outputs
        with self._version(title, revision, [train, *later.values()], files, files[weights]) as version:
            if version is None:
                return
            row, wrote = rows.find_or_make_row(self._store, version, model)
            for name in later:
                part = LATER_PARTS[name](version, model)
                if rows.lacks(row, part, newest=revision.commit is None):
                    rows.add_part(self._store, version, model, part)
                    wrote = True
            self._count(title, wrote)

    def _add_comparison(self, title: str, revision: Revision) -> None:
        stage = revision.lock["compare"]
        files = {RAW: stage.dependencies[RAW], **stage.outputs}
        evaluated = {}
        for model in stage.values["models"]:
            evaluation = revision.lock[f"evaluate@{model}"]
            weights = str(paths.weights(model))
            files[weights] = evaluation.dependencies[weights]
            evaluated[model] = evaluation.outputs[str(paths.report("evaluate", model) / "predictions.csv")]
        stages = [revision.lock["validate"], stage]  # the gate's parameters name the data set
        with self._version(title, revision, stages, files, stage.outputs[COMPARISON]) as version:
            if version and content.compared(version) == evaluated:  # else it is of older predictions
                part = content.comparison(version)
                self._count(title, add_comparison_row(self._store, version, part, "sync"))

    @contextmanager
    def _version(
        self, title: str, revision: Revision, stages: Sequence[LockedStage], files: Mapping[str, str], made: str
    ) -> Iterator[Version | None]:
        """The files of a revision in a folder of their own; nothing where they are not at hand or were seen before.

        `made` is the MD5 of what the row is of: the oldest commit that records it is where it comes from.
        """
        values: dict[str, Any] = {}
        for stage in stages:
            merge(values, stage.values)
        identity = json.dumps([files, values], sort_keys=True)
        if identity in self._seen or not self._at_hand(title, revision, files):
            yield None
            return
        self._seen.add(identity)
        with TemporaryDirectory() as folder:
            self._cache.place(files, Path(folder))
            yield Version(values, origin.of(revision, made), Path(folder))

    def _at_hand(self, title: str, revision: Revision, files: Mapping[str, str]) -> bool:
        missing = self._cache.missing(files)
        if missing and self._pull:
            self._cache.fetch({path: files[path] for path in missing})
            missing = self._cache.missing(files)
        if missing:
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            self.outcome.left_out.append(f"{title}: not in DVC's cache: {', '.join(missing[:NAMED])}{more}")
        return not missing

    def _count(self, title: str, wrote: bool) -> None:
        if wrote:
            self.outcome.written.append(title)
            console.say(f"sync: wrote the row of {title}")
        else:
            self.outcome.complete += 1
