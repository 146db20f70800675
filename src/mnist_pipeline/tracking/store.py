"""Where the rows live: a server that `MLFLOW_TRACKING_URI` names, or one SQLite file for the whole repository."""

import json
import logging
import math
import os
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mnist_pipeline.errors import PipelineError, in_one_line
from mnist_pipeline.tracking.address import tracking_uri, without_secrets
from mnist_pipeline.tracking.patience import patient

MODEL_VIEW = {"mlflow.experimentKind": "custom_model_development"}
"""Opens an experiment in MLflow's model-training view; without it MLflow guesses."""
RESULTS = "results"
COLUMNS = (
    "attributes.`Models`",
    "params.`model`",
    "metrics.`test/accuracy`",
    "metrics.`test/errors`",
    "metrics.`train/parameters`",
    "metrics.`val/accuracy`",
)
LOCK_SECONDS = 20
"""How long to wait for the other processes, which hold the lock while they look for a row and add it."""
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow's own defaults phone home, draw bars, print addresses and wait for minutes for a server that refuses.

docs/tracking.md says how long a stage waits with these. What the user has set stays.
"""
LOCATION_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps absolute paths of artifacts."""


@dataclass(frozen=True)
class Store:
    """An open store and the ids of its two experiments: one row for each model, and one for each data stage.

    `name` is that of the first, with which the names of the others begin. `database` is the SQLite file, beside which
    the artifacts are; a server has none.
    """

    client: MlflowClient
    name: str
    models: str
    data: str
    database: Path | None

    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps other processes from looking for a row at the moment when this one adds it.

        A server has no such lock: there, two processes that finish the same model at once may leave two rows.
        """
        return _one_at_a_time(self.database)


def open_store(experiment: str, patience: float = math.inf) -> Store:
    """Opens the store, and makes it and its experiments where they are missing.

    Its client raises when its calls have taken more than `patience` seconds in all.

    Raises:
        MlflowException: the server does not answer, or the SQLite file is not one of MLflow's.
        OSError: the folder cannot be written, or another process holds the lock for too long.
    """
    _set_defaults()
    uri = tracking_uri()
    database = _database(uri)
    try:
        with _one_at_a_time(database), without_noise():
            if database:
                _make(database)
            client = patient(MlflowClient(uri), patience)
            if database and "MLFLOW_TRACKING_URI" not in os.environ:  # else others keep their own places in it
                _mend_locations(database)
            models = _experiment(client, experiment, database, MODEL_VIEW | saved_view(RESULTS, "Results", COLUMNS))
            data = _experiment(client, f"{experiment}-data", database, MODEL_VIEW)
    except (SQLAlchemyError, sqlite3.Error, ImportError) as error:  # the driver of another database may be missing
        raise MlflowException(f"{uri}: {error}") from error
    return Store(client, experiment, models, data, database)


def open_experiment(store: Store, name: str, view: dict[str, str] | None = None) -> str:
    """The id of another experiment, which is made where it is missing; `view` is one of its table's saved ones."""
    with store.exclusive():
        return _experiment(store.client, name, store.database, MODEL_VIEW | (view or {}))


def saved_view(key: str, name: str, columns: Sequence[str], **more: str | bool) -> dict[str, str]:
    """The tags of an experiment that put a view of its table under its button "Views", and at `viewStateShareKey=key`.

    By itself MLflow shows no metric there. `more` are fields of the state that MLflow's page keeps: `orderByKey`,
    `orderByAsc`, `searchFilter`.
    """
    state = json.dumps({"selectedColumns": columns, **more})
    view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": state}
    return {f"mlflow.sharedViewState.{key}": json.dumps(view)}


class StoreError(PipelineError):
    """MLflow failed, or something between here and it."""


@contextmanager
def told_in_one_line(failure: str = "MLflow fails", advice: str = "mend that and run the same again") -> Iterator[None]:
    """Turns whatever MLflow raises into one message; the project's own errors pass as they are.

    Raises:
        StoreError: MLflow raised something.
    """
    try:
        with without_noise():
            yield
    except PipelineError:
        raise
    except Exception as error:  # a store raises what its drivers raise: of databases, of S3, of HTTP
        raise StoreError(f"{failure}: {reason(error)}: {advice}") from error


@contextmanager
def without_noise() -> Iterator[None]:
    """Silences what MLflow tells of its migrations, its own deprecations and its database's errors.

    No user could act on the first two, and each error is raised too.
    """
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def reason(error: BaseException) -> str:
    """What went wrong, in one line; a database's error without the SQL, which buries it."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, DBAPIError) and cause.orig:
            return without_secrets(f"its database: {in_one_line(cause.orig)}")
        cause = cause.__cause__
    return without_secrets(in_one_line(error))


def _set_defaults() -> None:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def _database(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


@contextmanager
def _one_at_a_time(database: Path | None) -> Iterator[None]:
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.parent / ".lock", timeout=LOCK_SECONDS):
        yield


def _make(database: Path) -> None:
    """An empty database, whole or not at all: MLflow cannot go on from tables that a full disk left half made."""
    if not database.exists():
        with TemporaryDirectory(dir=database.parent, prefix=".new-") as folder:
            new = Path(folder) / database.name
            MlflowClient(f"sqlite:///{new}")
            new.replace(database)


def _experiment(client: MlflowClient, name: str, database: Path | None, tags: dict[str, str]) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        location = str(database.parent / "artifacts" / name) if database else None
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another client of the same server was first
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)  # it keeps its name, so there cannot be another
    for tag, value in tags.items():  # an earlier version of the pipeline may have made it
        if found.tags.get(tag) != value:
            client.set_experiment_tag(found.experiment_id, tag, value)
    return str(found.experiment_id)


def _mend_locations(database: Path) -> None:
    """Points the rows of a repository that was moved or copied to the artifacts that moved with it.

    MLflow makes each location absolute when it makes the experiment.
    """
    root, inside = str(database.parent.parent), f"/{database.parent.name}/artifacts/"
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        rows = connection.execute("SELECT artifact_location FROM experiments WHERE artifact_location LIKE '/%'")
        roots = {location.rsplit(inside, 1)[0] for (location,) in rows if inside in location}
        for old in roots - {root}:
            for table, column in LOCATION_COLUMNS:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (root, len(old) + 1, len(old + inside), old + inside),
                )
