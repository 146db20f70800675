"""Writes the rows that MLflow lacks."""

import hashlib
from collections.abc import Sequence

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import file_digest, write_text
from mnist_pipeline.history import revisions
from mnist_pipeline.params import Tracking
from mnist_pipeline.tracking.address import is_made, tracking_uri


def run(
    tracking: Tracking, names: Sequence[str], all_commits: bool, experiments: bool, pull: bool, if_changed: bool
) -> None:
    """Adds to MLflow what it lacks of the work tree, of the named commits, of all commits, and of DVC's experiments.

    With `if_changed`, as `make repro` ends, it is quick where nothing has changed, and MLflow's failure is a warning.

    Raises:
        PipelineError: a commit does not exist, or MLflow or the DVC remote fails.
    """
    if if_changed and (names or all_commits or experiments or pull):
        raise PipelineError("--if-changed looks at the work tree alone: leave out the other options, or this one")
    state = _state(tracking.experiment)
    if if_changed and _is_synced(state):
        return
    try:
        if _sync(tracking.experiment, names, all_commits, experiments, pull):
            write_text(paths.SYNCED, state)
    except PipelineError as error:
        if tracking.strict or not if_changed:
            raise
        console.say(f"warning: {error}")


def _sync(experiment: str, names: Sequence[str], all_commits: bool, experiments: bool, pull: bool) -> bool:
    from mnist_pipeline.history.cache import Cache
    from mnist_pipeline.tracking.sync import sync

    cache = Cache()
    wanted = cache.experiments() if experiments else []  # first: the work tree does not know the experiment in it
    wanted += [revisions.work_tree(), *map(revisions.at, names)]
    wanted += revisions.all_commits() if all_commits else []
    outcome = sync(experiment, wanted, cache, pull)
    for line in outcome.left_out:
        console.say(f"sync: left out {line}")
    if outcome.left_out and not pull:
        console.say("sync: --pull fetches what the DVC remote has")
    written, left_out = len(outcome.written), len(outcome.left_out)
    console.say(f"sync: {written} rows written, {outcome.complete} complete, {left_out} left out")
    return not outcome.left_out


def _is_synced(state: str) -> bool:
    """Whether the last complete `sync` read and wrote the same, and no row waits to be closed."""
    notes = [path for path in paths.RUNNING.rglob("*") if path.is_file()]
    return not notes and paths.SYNCED.exists() and paths.SYNCED.read_text() == state and is_made()


def _state(experiment: str) -> str:
    """Names what was read and where it was written; an address may hold a password."""
    lock = file_digest(paths.LOCK, "md5") if paths.LOCK.exists() else "no lock"
    where = hashlib.sha256(f"{tracking_uri()} {experiment}".encode()).hexdigest()
    return f"{lock} {where}\n"
