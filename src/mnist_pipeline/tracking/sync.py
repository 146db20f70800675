"""Writes the runs that MLflow lacks, from what DVC has recorded and keeps: MLflow is a view of that.

A run that `sync` writes is the one that the stages would have written, but for its times and its tag `source`.
Latencies and Data Docs, which are in no file of DVC's, it does not have.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_table
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.history.lock import Lock, parameters
from mnist_pipeline.history.revisions import Revision
from mnist_pipeline.tracking import legacy, origin, registry, results, runs
from mnist_pipeline.tracking.results import RunUpdate, Snapshot
from mnist_pipeline.tracking.store import Store, errors_in_one_line, open_store

NAMED = 3  # missing files in a message
RAW = str(paths.RAW)


def sync(experiment: str, revisions: Sequence[Revision], cache: Cache, pull: bool) -> bool:
    """Add to the store what it lacks of each revision, and report whether nothing was left out.

    Of the same weights, the first revision is shown. Files that are not in DVC's cache are fetched with `pull`; without
    it their runs are left out.

    Raises:
        PipelineError: MLflow or the remote fails; what was written stays, and the same command resumes.
    """
    with errors_in_one_line():
        work = _Sync(open_store(experiment), cache, pull)
        for revision in revisions:
            for name in revision.lock:
                if name.partition("@")[0] in ("download", "validate", "train", "compare"):
                    work.add(revision, name)
        runs.close_dead_runs(work.store)
    registry.rebuild_registry(experiment)
    for line in work.left_out:
        console.info(f"sync: left out {line}")
    if work.left_out and not pull:
        console.info("sync: --pull fetches what the default DVC remote has")
    console.info(f"sync: {work.written} runs written, {work.complete} complete, {len(work.left_out)} left out")
    return not work.left_out


@dataclass
class _Sync:
    """One walk through revisions."""

    store: Store
    cache: Cache
    pull: bool
    written: int = 0
    complete: int = 0
    left_out: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def add(self, revision: Revision, name: str) -> None:
        """Write the run of a recorded stage with what later stages made of its result, from files in a new folder."""
        title, lock, (stage, _, model) = f"{name}, {revision}", revision.lock, name.partition("@")
        known = {**lock[name].dependencies, **lock[name].outputs}
        result = {"train": str(paths.weights(model)), "compare": str(paths.COMPARISON / "metrics.json")}.get(stage, RAW)
        for path in (result, RAW):
            if path not in known:
                return self.left_out.append(f"{title}: {paths.LOCK} does not record {path}")
        stages = [name]
        if stage == "train":  # later stages that ran with other weights have nothing to add
            later = [f"{later}@{model}" for later in results.STAGES_AFTER_TRAINING]
            stages += [each for each in later if each in lock and lock[each].dependencies.get(result) == known[result]]
        files = {path: md5 for each in stages for path, md5 in lock[each].outputs.items()}
        recorded = {path: known[path] for path in (RAW, str(paths.SUITES)) if path in known} | files
        if stage == "compare":  # its run names the weights that were evaluated
            evaluated = [each.dependencies for other, each in lock.items() if other.startswith("evaluate@")]
            weights = paths.weights("").name
            recorded |= {path: md5 for read in evaluated for path, md5 in read.items() if path.endswith(weights)}
        if "validate" in lock and lock["validate"].dependencies.get(RAW) == known[RAW]:
            files |= {path: md5 for path, md5 in lock["validate"].outputs.items() if path == str(paths.VERDICT)}
        values = parameters(lock[each] for each in [*lock, *reversed(stages)])
        identity = json.dumps([stages, recorded, values], sort_keys=True)
        if identity in self.seen:
            return None
        if missing := self.cache.missing(files, self.pull):
            if stage == "download":  # published results come without the images
                return console.info(f"sync: the run of {title} follows when dvc repro or --pull has brought the images")
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            return self.left_out.append(f"{title}: not in DVC's cache: {', '.join(missing[:NAMED])}{more}")
        self.seen.add(identity)
        with TemporaryDirectory() as folder:
            self.cache.place(files, Path(folder))
            snapshot = Snapshot(values, origin.of(revision, known[result]), Path(folder), recorded)
            try:
                updates = _updates(snapshot, lock, stages, model)
            except PipelineError as error:  # another release recorded it, or somebody changed the cache
                return self.left_out.append(f"{title}: {error}")
            if not updates:
                return None
            if stage == "train":
                wrote = runs.write_model_run(
                    self.store, snapshot, model, updates, only_missing=True, is_newest=revision.commit is None
                )
            else:
                wrote = runs.write_once(self.store, stage, snapshot, updates[0], "sync")
        self.complete += not wrote
        self.written += wrote
        return console.info(f"sync: wrote the run of {title}") if wrote else None


def _updates(snapshot: Snapshot, lock: Lock, stages: Sequence[str], model: str) -> list[RunUpdate]:
    """What the run of the first stage shows; nothing of a comparison of older predictions."""
    if stages[0] == "download":
        return [results.download(snapshot)]
    if stages[0] == "validate":
        return [results.validation(snapshot, legacy.facts(snapshot.root))]
    if model:
        later = [results.after_training(snapshot, stage.partition("@")[0], model) for stage in stages[1:]]
        return [results.training(snapshot, model), *later]
    folder = snapshot.root / paths.COMPARISON
    tables = [path for path in (folder / "tables/models.csv", folder / "models.csv") if path.exists()]
    compared = {md5 for table in tables for md5 in read_table(table, {"predictions_md5": str})["predictions_md5"]}
    recorded = {md5 for name, stage in lock.items() if name.startswith("evaluate@") for md5 in stage.outputs.values()}
    return [results.comparison(snapshot)] if compared and compared <= recorded else []
