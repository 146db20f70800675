"""Which rows are still written: none must say "running" for ever when its process was killed or MLflow failed.

Whoever writes a row keeps a lock beside a note that is named after its store and its run. The system frees the lock
when the process ends, however it ends, so a note whose lock can be taken is of a dead one.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mnist_pipeline import paths
from mnist_pipeline.tracking import runs

NOT_WHOLE = "MLflow failed this row in the middle"


class Mark:
    """Says that this process works on a run, until it is taken away, left, or the process ends."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._note = _notes(client) / run_id
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self._note)
        self._lock.acquire()
        self._note.touch()  # with the lock held: a note without one is of a dead training

    def leave(self) -> None:
        """Lets go of a run that MLflow failed in the middle; `close_dead_runs` deletes what there is of its row."""
        self._note.write_text(NOT_WHOLE)
        self._lock.release()

    def take_away(self) -> None:
        _remove(self._note, self._lock)


@contextmanager
def marked(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Marks a run while its row is written at once; of a row that cannot be finished, nothing will be left."""
    mark = Mark(client, run_id)
    try:
        yield
    except BaseException:
        mark.leave()
        raise
    mark.take_away()


def close_dead_runs(client: MlflowClient) -> None:
    """Marks the runs whose process was killed, and deletes the rows that MLflow failed in the middle.

    It knows the runs that began in this repository, in the store that the client uses.
    """
    for note in sorted(path for path in _notes(client).glob("*") if path.suffix != ".lock"):
        lock = _lock(note)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        try:
            _close(client, note)
        except BaseException:
            lock.release()
            raise
        _remove(note, lock)


def _close(client: MlflowClient, note: Path) -> None:
    try:
        run = client.get_run(note.name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        raise
    if run.info.lifecycle_stage != "active":  # somebody deleted it, and MLflow lets nobody change it
        return
    if run.info.status == "RUNNING":
        client.set_terminated(note.name, "KILLED")
    if note.exists() and note.read_text() == NOT_WHOLE:
        runs.delete_run(client, note.name)


def _notes(client: MlflowClient) -> Path:
    """In the repository itself also where DVC runs an experiment in a copy; an address may hold a password."""
    uri = client.tracking_uri if os.environ.get("MLFLOW_TRACKING_URI") else "of the repository, wherever it is moved"
    store = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Path(os.environ.get("DVC_ROOT") or ".").resolve() / paths.RUNNING / store


def _lock(note: Path) -> FileLock:
    return FileLock(note.with_name(f"{note.name}.lock"))


def _remove(note: Path, lock: FileLock) -> None:
    note.unlink(missing_ok=True)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
