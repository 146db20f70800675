"""The same rows at a real MLflow server."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import free_port, running


@pytest.fixture
def server(tmp_path: Path, tracked, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server of its own, which MLflow's variable names."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "server_artifacts"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = tmp_path / "server.log"
    with running(command, f"{address}/health", folder=tmp_path, environment=environment, log=log):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield


def test_a_server_gets_the_same_row_quietly(tracked, server: None, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        tracked.train()
        tracked.evaluate()
        tracked.export()
    tracked.change("evaluate", calibration_bins=7)
    tracked.evaluate(accuracy=0.95)
    assert capfd.readouterr() == ("", "")

    row = tracked.row()
    assert row.info.status == "FINISHED"
    assert tracked.history(row, "val/accuracy") == [(1, 0.5), (2, 0.75)]
    assert row.data.metrics["test/accuracy"] == 0.95
    assert {"train", "evaluate"} <= set(tracked.artifacts(row, ""))
    (model,) = tracked.store.client.search_logged_models([tracked.store.models])
    assert [output.model_id for output in row.outputs.model_outputs] == [model.model_id]
    assert row.info.artifact_uri.startswith("mlflow-artifacts:")
    assert not list(Path("mlruns").glob("artifacts"))
