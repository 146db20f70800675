"""MLflow's own pages over the project's store."""

import os
import socket
import sys

from mnist_pipeline import console
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.params import Params
from mnist_pipeline.tracking.address import tracking_uri
from mnist_pipeline.tracking.store import errors_in_one_line, open_store

HOST = "127.0.0.1"
EXPERIMENT = "MNIST_PIPELINE_EXPERIMENT"
"""The variable with the id of the experiment that the pages open on."""


def run(params: Params, port: int) -> None:
    """Run MLflow's pages in the foreground until Ctrl-C; a `PipelineError` where the store is a server already."""
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise PipelineError(f"MLFLOW_TRACKING_URI names the server {one_line(uri)}: open that address in a browser")
    with socket.socket() as listener:  # MLflow itself ends with code 0 where another program has the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise PipelineError(f"port {port}: {error.strerror}: try another: make ui PORT={port + 1}") from error
    with errors_in_one_line():
        store = open_store(params.tracking.experiment)
    console.info(f"The trained models and their results: http://{HOST}:{port}")
    command = [sys.executable, "-m", "mlflow", "ui", "--app-name", "mnist-pipeline", "--backend-store-uri", uri]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]  # one, and no jobs: the pages start sooner
    environment = {"PYTHONWARNINGS": "ignore:starlette.middleware.wsgi"} | os.environ  # which MLflow 3.17 imports
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", EXPERIMENT: store.models}
    os.execve(sys.executable, command, environment)  # MLflow ends its own server when it is interrupted or terminated
