"""MLflow's own pages over the project's store."""

import os
import subprocess
import sys

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.tracking.store import open_store, tracking_uri

HOST = "127.0.0.1"


def serve(experiment: str, port: int) -> None:
    """Runs MLflow's pages in the foreground until Ctrl-C.

    One worker and no job runner: the pages start in a quarter of the time, and nobody here uses the jobs.

    Raises:
        PipelineError: the tracking store is a server already, or the pages could not be served.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        raise PipelineError(f"MLFLOW_TRACKING_URI names the server {uri}: open that address in a browser")
    open_store(experiment)
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
        raise PipelineError(f"the MLflow pages ended with exit code {code}: is port {port} in use? try another: PORT=")
