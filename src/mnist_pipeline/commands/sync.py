"""Writes the runs that MLflow lacks."""

import hashlib
from collections.abc import Sequence

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_text
from mnist_pipeline.formats import file_digest
from mnist_pipeline.params import Params
from mnist_pipeline.tracking.address import database, tracking_uri


def run(
    params: Params, names: Sequence[str], all_commits: bool, experiments: bool, pull: bool, if_changed: bool
) -> None:
    """Add to MLflow what it lacks of the work tree, of the named commits, of all commits, and of DVC's experiments.

    With `if_changed`, as `make repro` ends, it is quick where nothing has changed, and MLflow's failure is a warning.
    """
    if if_changed and (names or all_commits or experiments or pull):
        raise PipelineError("--if-changed looks at the work tree alone: leave out the other options, or this one")
    uri, tracking = tracking_uri(), params.tracking
    lock = file_digest(paths.LOCK, "md5") if paths.LOCK.exists() else "no lock"
    state = f"{lock} {hashlib.sha256(f'{uri} {tracking.experiment}'.encode()).hexdigest()}\n"  # uri: with a password
    store = database(uri) or paths.SYNCED  # a server is taken to exist
    if if_changed and paths.SYNCED.exists() and paths.SYNCED.read_text() == state and store.exists():
        return
    from mnist_pipeline.history import revisions
    from mnist_pipeline.history.cache import Cache
    from mnist_pipeline.tracking.sync import sync

    try:
        cache = Cache()
        wanted = cache.experiments() if experiments else []  # first: the work tree does not know the experiment in it
        wanted += [revisions.work_tree(), *map(revisions.at, names)]
        wanted += revisions.all_commits() if all_commits else []
        if sync(tracking.experiment, wanted, cache, pull):
            write_text(paths.SYNCED, state)
    except PipelineError as error:
        if tracking.strict or not if_changed:
            raise
        console.warn(error)
