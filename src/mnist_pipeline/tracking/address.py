"""Where the tracking store is, found without importing MLflow, which takes seconds."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from mnist_pipeline.errors import PipelineError, one_line


def root() -> Path:
    """The repository, also where DVC runs an experiment in a copy of it, which it deletes afterwards."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, its relative path starting at the root, else the SQLite file of the repository."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlruns/mlflow.db"
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        raise PipelineError(f"MLFLOW_TRACKING_URI = {uri}: not an address: did you mean http://{uri}?")
    in_files = uri.startswith(("file:", "./", "../", "/"))
    if in_files and os.environ.get("MLFLOW_ALLOW_FILE_STORE") != "true":
        raise PipelineError(
            f"MLFLOW_TRACKING_URI = {one_line(uri)}: MLflow keeps runs in a database: unset it, or set sqlite:///mlruns/mlflow.db"
        )
    if file := database(uri):
        return sqlite_uri(file) + "".join(uri.partition("?")[1:])
    relative = in_files and not uri.startswith(("file:/", "/"))
    return (root() / uri.removeprefix("file:")).as_uri() if relative else uri


def database(uri: str) -> Path | None:
    """The file that a SQLite address names; None for servers and for databases in memory."""
    scheme, _, rest = uri.partition(":///")
    path = unquote(rest.partition("?")[0])
    is_file = scheme in ("sqlite", "sqlite+pysqlite") and path not in ("", ":memory:")
    return Path(os.path.normpath(root() / path)) if is_file else None


def sqlite_uri(file: Path) -> str:
    """The address of a SQLite file, whatever characters its path has.

    With `sqlite:///` before encoded characters, MLflow 3.17 would make a folder of the encoded name too.
    """
    path = quote(str(file), safe=" /")
    return f"{'sqlite' if path == str(file) else 'sqlite+pysqlite'}:///{path}"
