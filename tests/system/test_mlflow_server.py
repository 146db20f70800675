"""The pipeline against a team's MLflow server: PostgreSQL behind it, artifacts in S3, an account for everybody."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from projects import Project, make_project
from servers import free_port, kill
from services import BUCKET, Database, ObjectStore, Tracking, secret

WRITERS = 4
LONG = 60
"""Epochs of a training that lasts long enough for its server to die in."""
GIVES_UP_SECONDS = 200
"""MLflow tries ten times, for 101 s in all, to open a database that refuses it."""
PREDICT = """
import sys
import mlflow
import numpy
images = numpy.zeros((3, 28, 28), dtype=numpy.uint8)
print(mlflow.pyfunc.load_model(sys.argv[1]).predict({"image": images})["probabilities"].shape)
"""


@dataclass(frozen=True)
class Refused:
    process: subprocess.Popen[bytes]
    log: Path


@pytest.fixture(scope="module")
def refused(folder: Path, database: Database, object_store: ObjectStore) -> Iterator[Refused]:
    """A server with a wrong password for the database, started first as it takes long to give up."""
    server = Tracking(folder, replace(database, password=secret()), object_store)
    with server.log.open("w") as log:
        process = subprocess.Popen(server.command(), env=server.environment(), stdout=log, stderr=log, cwd=folder)
    with process:
        yield Refused(process, server.log)
        process.kill()


@pytest.fixture(scope="module")
def server(refused: Refused, folder: Path, database: Database, object_store: ObjectStore) -> Iterator[Tracking]:
    tracking = Tracking(folder, database, object_store)
    with tracking.started():
        yield tracking


@pytest.fixture(scope="module")
def reproduced(server: Tracking, folder: Path, tiny_data: Path) -> Project:
    """A project whose `dvc repro` told the server everything."""
    project = replace(make_project(folder / "home/repo", tiny_data), extra=server.client())
    printed = project.run("dvc", "repro")
    assert "warning:" not in printed
    return project


@pytest.fixture
def client(server: Tracking, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """This process as a client of the server."""
    for name, value in server.client().items():
        monkeypatch.setenv(name, value)
    return MlflowClient()


def rows(client: MlflowClient) -> list[Run]:
    return list(client.search_runs([client.get_experiment_by_name("mnist-pipeline").experiment_id]))


def assert_whole(client: MlflowClient, row: Run) -> None:
    """A row with the curves, results, pictures and network of its model."""
    assert row.info.status == "FINISHED"
    epochs = [point.step for point in client.get_metric_history(row.info.run_id, "val/accuracy")]
    assert epochs == list(range(1, int(row.data.params["epochs"]) + 1))
    assert {"test/accuracy", "onnx/max_logit_difference"} <= row.data.metrics.keys()
    pictures = {file.path for file in client.list_artifacts(row.info.run_id, "evaluate")}
    assert {"evaluate/confusion.png", "evaluate/mistakes.png"} <= pictures
    assert len(row.outputs.model_outputs) == 1


def retrained(project: Project, path: Path, **changed: float) -> Project:
    """A copy of a project in which the MLP is to be trained otherwise."""
    shutil.copytree(project.path, path)
    copy = replace(project, path=path)
    params = copy.params()
    params["train"]["mlp"] |= changed
    copy.write_params(params)
    return copy


def test_the_pipeline_fills_the_server(
    reproduced: Project, client: MlflowClient, object_store: ObjectStore, tmp_path: Path
) -> None:
    assert {row.data.params["model"] for row in rows(client)} == {"lenet", "mlp"}
    for row in rows(client):
        assert_whole(client, row)
        assert row.info.artifact_uri.startswith("mlflow-artifacts:")
        picture = client.download_artifacts(row.info.run_id, "evaluate/confusion.png", str(tmp_path))
        local = reproduced.path / f"reports/evaluate/{row.data.params['model']}/confusion.png"
        assert Path(picture).read_bytes() == local.read_bytes()
        (model,) = row.outputs.model_outputs
        assert reproduced.run("python", "-c", PREDICT, f"models:/{model.model_id}").endswith("(3, 10)\n")
    assert list((object_store.folder / BUCKET / "mlflow").rglob("model.onnx"))
    assert not (reproduced.path / "mlruns").exists()


def test_writers_at_the_same_time_lose_nothing(reproduced: Project, client: MlflowClient, tmp_path: Path) -> None:
    rates = [0.001 * number for number in range(2, 2 + WRITERS)]
    stages = " && ".join(f"mnist-pipeline {stage} mlp" for stage in ("train", "evaluate", "export"))
    copies = [retrained(reproduced, tmp_path / str(rate), learning_rate=rate) for rate in rates]
    before = len(rows(client))
    with ThreadPoolExecutor(WRITERS) as pool:
        printed = list(pool.map(lambda copy: copy.run("bash", "-c", stages), copies))
    assert "warning:" not in "".join(printed)
    written = [row for row in rows(client) if float(row.data.params["learning_rate"]) in rates]
    assert (len(written), len(rows(client))) == (WRITERS, before + WRITERS)
    for row in written:
        assert_whole(client, row)


def test_a_server_that_is_killed_and_comes_back_costs_a_training_nothing(
    reproduced: Project, server: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    undisturbed = retrained(reproduced, tmp_path / "undisturbed", epochs=LONG)
    undisturbed.run("env", "-u", "MLFLOW_TRACKING_URI", "mnist-pipeline", "train", "mlp")
    other = replace(server, port=free_port())  # over the same database
    disturbed = retrained(reproduced, tmp_path / "disturbed", epochs=LONG)
    disturbed = replace(disturbed, extra={**disturbed.extra, **other.client()})

    printed = train_while_the_server_dies_and_comes_back(disturbed, other)

    (warning,) = [line for line in printed if line.startswith("warning:")]
    assert "mnist-pipeline sync adds it" in warning
    assert "Traceback" not in "".join(printed)
    for name in ("models/mlp/weights.safetensors", "reports/train/mlp/history.csv", "reports/train/mlp/metrics.json"):
        assert (disturbed.path / name).read_bytes() == (undisturbed.path / name).read_bytes()
    (row,) = [row for row in rows(client) if row.data.params["epochs"] == str(LONG)]
    assert_whole(client, row)


def train_while_the_server_dies_and_comes_back(project: Project, server: Tracking) -> list[str]:
    """Trains, evaluates, exports and syncs; gives the lines of the training."""
    command = ["mnist-pipeline", "train", "mlp"]
    environment = project.environment()
    with ExitStack() as stack:
        session = stack.enter_context(server.started())
        training = stack.enter_context(
            subprocess.Popen(command, cwd=project.path, env=environment, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(training.kill)
        assert training.stderr is not None
        printed = lines_until(training.stderr, f"epoch  {LONG // 2}/")
        kill(session)
        printed += lines_until(training.stderr, "warning:")
        training.send_signal(signal.SIGSTOP)  # so that it is not over before the server is back
        stack.enter_context(server.started())
        training.send_signal(signal.SIGCONT)
        printed += training.stderr.readlines()
        assert training.wait() == 0
        for words in (("evaluate", "mlp"), ("export", "mlp"), ("sync",)):  # sync deletes the row with the gap
            assert "warning:" not in project.run("mnist-pipeline", *words)
    return printed


def lines_until(stream: IO[str], beginning: str) -> list[str]:
    """Reads the stream up to the line that begins so."""
    printed = []
    for line in stream:
        printed.append(line)
        if line.startswith(beginning):
            return printed
    raise AssertionError(f"no line begins with {beginning}: {''.join(printed)}")


@pytest.mark.parametrize("changed", [{"MLFLOW_TRACKING_PASSWORD": "wrong"}, {"MLFLOW_TRACKING_USERNAME": ""}])
def test_a_wrong_account_costs_the_row_and_says_so(
    reproduced: Project, client: MlflowClient, tmp_path: Path, changed: dict[str, str]
) -> None:
    stranger = retrained(reproduced, tmp_path / "stranger", learning_rate=0.123)
    stranger = replace(stranger, extra={**stranger.extra, **changed})
    printed = stranger.run("mnist-pipeline", "train", "mlp")
    (warning,) = [line for line in printed.splitlines() if line.startswith("warning:")]
    assert "401" in warning
    assert "0.123" not in {row.data.params["learning_rate"] for row in rows(client)}


def test_a_server_that_the_database_refuses_does_not_start(refused: Refused) -> None:
    assert refused.process.wait(timeout=GIVES_UP_SECONDS) == 1
    assert 'password authentication failed for user "mlflow"' in refused.log.read_text()
