"""Writes the rows that MLflow lacks."""

import hashlib
from collections.abc import Sequence

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import file_digest, write_text
from mnist_pipeline.history import revisions
from mnist_pipeline.history.revisions import Revision
from mnist_pipeline.params import Tracking
from mnist_pipeline.tracking.address import tracking_uri


def run(
    tracking: Tracking, names: Sequence[str], all_commits: bool, experiments: bool, pull: bool, if_changed: bool
) -> None:
    """Adds to MLflow what it lacks of the work tree, of the named commits, of all commits, and of DVC's experiments.

    With `if_changed`, as `make repro` ends, it is quick where nothing has changed, and MLflow's failure is a warning.

    Raises:
        PipelineError: a commit does not exist, or MLflow or the DVC remote fails.
    """
    state = _state(tracking.experiment)
    if if_changed and paths.SYNCED.exists() and paths.SYNCED.read_text() == state:
        return
    try:
        complete = _sync(tracking.experiment, names, all_commits, experiments, pull)
    except PipelineError as error:
        if tracking.strict or not if_changed:
            raise
        console.say(f"warning: {error}")
        return
    if complete:
        write_text(paths.SYNCED, state)


def _sync(experiment: str, names: Sequence[str], all_commits: bool, experiments: bool, pull: bool) -> bool:
    from mnist_pipeline.history.cache import Cache
    from mnist_pipeline.tracking.sync import sync

    cache = Cache()
    wanted: list[Revision] = [revisions.work_tree(), *map(revisions.at, names)]
    wanted += revisions.all_commits() if all_commits else []
    wanted += cache.experiments() if experiments else []
    outcome = sync(experiment, wanted, cache, pull)
    for line in outcome.left_out:
        console.say(f"sync: left out {line}")
    if outcome.left_out and not pull:
        console.say("sync: --pull fetches what the DVC remote has")
    written, left_out = len(outcome.written), len(outcome.left_out)
    console.say(f"sync: {written} rows written, {outcome.complete} complete, {left_out} left out")
    return not outcome.left_out


def _state(experiment: str) -> str:
    """Names what was read and where it was written; an address may hold a password."""
    lock = file_digest(paths.LOCK, "md5") if paths.LOCK.exists() else "no lock"
    where = hashlib.sha256(f"{tracking_uri()} {experiment}".encode()).hexdigest()
    return f"{lock} {where}\n"
