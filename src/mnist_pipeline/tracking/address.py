"""Where the rows live, told without MLflow, which takes long to import."""

import os
import re
from pathlib import Path


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the SQLite file of the repository.

    DVC runs an experiment in a copy of the repository and says in `DVC_ROOT` where the repository itself is.
    """
    root = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root}/mlruns/mlflow.db"


def is_made() -> bool:
    """Whether the store is there; of a server, that is taken for granted."""
    uri = tracking_uri()
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def without_secrets(text: str) -> str:
    """The same text, with the user and the password of an address left out."""
    return re.sub(r"://\S+@", "://…@", text)
