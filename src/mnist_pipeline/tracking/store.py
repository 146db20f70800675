"""The tracking store: a server that `MLFLOW_TRACKING_URI` names, or one SQLite file for the whole repository.

Private parts of MLflow, as 3.17 has them, are used here alone, and in `views` and `pages`: its tables, a variable.
"""

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.tracking import views
from mnist_pipeline.tracking.address import database, sqlite_uri, tracking_uri

MODEL_VIEW = {"mlflow.experimentKind": "custom_model_development"}  # without it MLflow guesses
LOCK_SECONDS = 20  # how long to wait for other processes, which hold the lock while they add a run
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""In the place of MLflow's own, which phone home, draw bars and wait minutes; what the user has set stays."""
DEFAULT_ROOT = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""Where MLflow's own experiment keeps artifacts: by default a path that its SQL does not quote."""
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""The tables and columns in which MLflow keeps absolute paths of artifacts."""
STORE_ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)  # OSError: of requests, filelock and disks
STORE_PACKAGES = {"alembic", "azure", "boto3", "botocore", "google", "s3transfer", "urllib3"}
"""What a store may use besides, and not all of it is installed: errors of their types are the store's too."""


@dataclass(frozen=True)
class Store:
    """An open store: the name with which those of its experiments begin, the ids of the two that all use, its file."""

    client: MlflowClient
    name: str
    models: str
    data: str
    database: Path | None

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other processes from adding the same run; a server has no such lock, and may get two."""
        return _locked(self.database)


def open_store(experiment: str) -> Store:
    """Open the store, which raises `STORE_ERRORS`; make it where it is missing."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri()
    file = database(uri)
    with _locked(file):
        if file:
            _make(file)
        try:
            client = MlflowClient(uri)
        except ImportError as error:  # the driver of another database
            raise MlflowException(f"{uri}: {error}") from error
        if file and "MLFLOW_TRACKING_URI" not in os.environ:  # else others keep their own locations in it
            _move_locations(file)
        view = views.saved_view(views.RESULTS, "Results", views.trained_models())
        models, data = _experiment(client, experiment, file, view), _experiment(client, f"{experiment}-data", file, {})
    return Store(client, experiment, models, data, file)


def open_experiment(store: Store, name: str, view: dict[str, str] | None = None) -> str:
    """The id of another experiment, which is made where it is missing, with a saved view of its table."""
    with store.exclusive():
        return _experiment(store.client, name, store.database, view or {})


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Raise the store's own errors as a `PipelineError`; all others pass."""
    try:
        with quiet():
            yield
    except Exception as error:
        if not is_store_error(error):
            raise
        raise PipelineError(f"MLflow fails: {reason(error)}: fix that and run the same again") from error


def is_store_error(error: BaseException) -> bool:
    """Whether MLflow or something between here and its data failed, rather than this project's code."""
    return isinstance(error, STORE_ERRORS) or type(error).__module__.partition(".")[0] in STORE_PACKAGES


@contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's notes on migrations, retries, deprecations and on having no pip; each error is raised too."""
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.utils.environment", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def reason(error: BaseException) -> str:
    """What went wrong, in one line; a database's error without the SQL, which buries it."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, DBAPIError) and cause.orig:
            return f"its database: {one_line(cause.orig)}"
        cause = cause.__cause__
    return one_line(error)


@contextmanager
def _locked(file: Path | None) -> Iterator[None]:
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.parent / ".lock", timeout=LOCK_SECONDS) if file else nullcontext():
        yield


def _make(file: Path) -> None:
    """An empty database, whole or not at all: MLflow cannot resume from tables that a full disk left half made."""
    if file.is_dir():  # MLflow would try for 105 s
        raise IsADirectoryError(f"{file}: a folder, expected a SQLite file")
    if not file.exists():
        os.environ.setdefault(DEFAULT_ROOT, (file.parent / "artifacts/Default").as_uri())
        with TemporaryDirectory(dir=file.parent, prefix=".new-") as folder:
            new = Path(folder) / file.name
            MlflowClient(sqlite_uri(new))
            new.replace(file)


def _experiment(client: MlflowClient, name: str, file: Path | None, tags: dict[str, str]) -> str:
    tags = MODEL_VIEW | tags
    found = client.get_experiment_by_name(name)
    if found is None:
        location = f"{_location(file.parent)}/artifacts/{name}" if file else None
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another client of the same server was first
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)  # it keeps its name, so there cannot be another
    for tag, value in tags.items():  # an earlier release may have made it
        if found.tags.get(tag) != value:
            client.set_experiment_tag(found.experiment_id, tag, value)
    return str(found.experiment_id)


def _location(folder: Path) -> str:
    """A folder as MLflow stores it, which decodes `%20`."""
    return str(folder).replace("%", "%25")


def _move_locations(file: Path) -> None:
    """Point the runs of a repository that was moved or copied to the artifacts that moved with it."""
    root, inside = _location(file.parent.parent), f"/{file.parent.name}/artifacts/"
    with closing(sqlite3.connect(file, timeout=LOCK_SECONDS)) as connection, connection:
        known = connection.execute("SELECT artifact_location FROM experiments WHERE artifact_location LIKE '/%'")
        for old in {location.rsplit(inside, 1)[0] for (location,) in known if inside in location} - {root}:
            for table, column in LOCATIONS:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (root, len(old) + 1, len(old + inside), old + inside),
                )
