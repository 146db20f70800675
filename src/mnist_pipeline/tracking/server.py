"""MLflow's own pages over the project's store."""

import os
import socket
import subprocess
import sys

from mnist_pipeline import console
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.tracking.address import tracking_uri, without_secrets
from mnist_pipeline.tracking.store import RESULTS, open_store

HOST = "127.0.0.1"


def serve(experiment: str, port: int) -> None:
    """Runs MLflow's pages in the foreground until Ctrl-C.

    One worker and no job runner: the pages start sooner, and nobody here uses the jobs.

    Raises:
        PipelineError: the tracking store is a server already, or the pages could not be served.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        address = without_secrets(uri)
        raise PipelineError(f"MLFLOW_TRACKING_URI names the server {address}: open that address in a browser")
    _demand_free(port)
    store = open_store(experiment)
    table = f"http://{HOST}:{port}/#/experiments/{store.models}/runs?viewStateShareKey={RESULTS}"
    console.say(f"The trained models and their results: {table}")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(command, env=environment) as server:
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return
    if code != 0:
        raise PipelineError(f"the MLflow pages ended with exit code {code}; what MLflow printed above says why")


def _demand_free(port: int) -> None:
    """MLflow itself ends with code 0 where another program has the port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise PipelineError(f"port {port}: {error.strerror}: try another: make ui PORT={port + 1}") from error
