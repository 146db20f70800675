"""The pipeline against a team's MLflow server: PostgreSQL behind it, artifacts in S3, an account for everybody."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from projects import Project, make_project
from servers import free_port, kill
from services import BUCKET, Database, ObjectStore, Tracking

WRITERS = 2
LONG = 30  # epochs of a training that lasts long enough for its server to die in
PREDICT = """
import sys
import mlflow
import numpy
images = numpy.zeros((3, 28, 28), dtype=numpy.uint8)
print(mlflow.pyfunc.load_model(sys.argv[1]).predict({"image": images})["probabilities"].shape)
"""


@pytest.fixture(scope="module")
def server(folder: Path, database: Database, object_store: ObjectStore) -> Iterator[Tracking]:
    tracking = Tracking(folder, database, object_store)
    with tracking.started():
        yield tracking


@pytest.fixture(scope="module")
def reproduced(server: Tracking, folder: Path, tiny_data: Path) -> Project:
    """A project whose `dvc repro` wrote everything to the server."""
    project = replace(make_project(folder / "home/repo", tiny_data), extra=server.client())
    printed = project.run("env", "PYTHONHASHSEED=7", "dvc", "repro")
    assert "warning:" not in printed
    return project


@pytest.fixture
def client(server: Tracking, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """This process as a client of the server."""
    for name, value in server.client().items():
        monkeypatch.setenv(name, value)
    return MlflowClient()


def runs(client: MlflowClient) -> list[Run]:
    return list(client.search_runs([client.get_experiment_by_name("mnist-pipeline").experiment_id]))


def assert_whole(client: MlflowClient, run: Run) -> None:
    """The curves, results, figures and network of its model."""
    assert run.info.status == "FINISHED"
    epochs = [point.step for point in client.get_metric_history(run.info.run_id, "validation_accuracy")]
    assert epochs == list(range(1, int(run.data.params["epochs"]) + 1))
    assert {"accuracy", "onnx/max_logit_difference"} <= run.data.metrics.keys()
    assert client.list_artifacts(run.info.run_id, "evaluate/figures")
    assert len(run.outputs.model_outputs) == 1


def retrained(project: Project, path: Path, **changed: float) -> Project:
    """A copy of a project in which the MLP is to be trained otherwise."""
    shutil.copytree(project.path, path)
    copy = replace(project, path=path)
    params = copy.params()
    params["train"]["mlp"] |= changed
    copy.write_params(params)
    return copy


def test_the_pipeline_fills_the_server(reproduced: Project, client: MlflowClient, object_store: ObjectStore) -> None:
    assert {run.data.params["model"] for run in runs(client)} == {"lenet", "mlp"}
    for run in runs(client):
        assert_whole(client, run)
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        (model,) = run.outputs.model_outputs
        assert reproduced.run("python", "-c", PREDICT, f"models:/{model.model_id}").endswith("(3, 10)\n")
    assert list((object_store.folder / BUCKET / "mlflow").rglob("model.onnx"))
    assert not (reproduced.path / "mlruns").exists()


def test_another_project_made_the_same_files(reproduced: Project, first_result: Project) -> None:
    assert reproduced.read("dvc.lock") == first_result.read("dvc.lock")


def test_writers_at_the_same_time_lose_nothing(reproduced: Project, client: MlflowClient, tmp_path: Path) -> None:
    rates = [0.001 * number for number in range(2, 2 + WRITERS)]
    stages = " && ".join(f"mnist-pipeline {stage} mlp" for stage in ("train", "evaluate", "export"))
    copies = [retrained(reproduced, tmp_path / str(rate), learning_rate=rate) for rate in rates]
    before = len(runs(client))
    with ThreadPoolExecutor(WRITERS) as pool:
        printed = list(pool.map(lambda copy: copy.run("bash", "-c", stages), copies))
    assert "warning:" not in "".join(printed)
    written = [run for run in runs(client) if float(run.data.params["learning_rate"]) in rates]
    assert (len(written), len(runs(client))) == (WRITERS, before + WRITERS)
    for run in written:
        assert_whole(client, run)


def test_a_server_that_is_killed_and_comes_back_costs_a_training_nothing(
    reproduced: Project, server: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    undisturbed = retrained(reproduced, tmp_path / "undisturbed", epochs=LONG)
    undisturbed.run("env", "-u", "MLFLOW_TRACKING_URI", "mnist-pipeline", "train", "mlp")
    other = replace(server, port=free_port())  # over the same database
    disturbed = retrained(reproduced, tmp_path / "disturbed", epochs=LONG)
    disturbed = replace(disturbed, extra={**disturbed.extra, **other.client()})
    with ExitStack() as stack:
        session = stack.enter_context(other.started())

        def kill_and_start(line: str, process: subprocess.Popen[str]) -> None:
            if line.startswith(f"epoch  {LONG // 2}/"):
                kill(session)
            if line.startswith("warning:"):
                process.send_signal(signal.SIGSTOP)  # so that it does not end before the server is back
                stack.enter_context(other.started())
                process.send_signal(signal.SIGCONT)

        code, printed = disturbed.watched(["mnist-pipeline", "train", "mlp"], kill_and_start)
        assert (code, printed.count("warning:"), "Traceback" in printed) == (0, 1, False)
        for words in (("evaluate", "mlp"), ("export", "mlp"), ("sync",)):  # sync deletes the run with the gap
            assert "warning:" not in disturbed.run("mnist-pipeline", *words)
    for name in ("models/mlp/weights.safetensors", "reports/train/mlp/history.csv", "reports/train/mlp/metrics.json"):
        assert (disturbed.path / name).read_bytes() == (undisturbed.path / name).read_bytes()
    (run,) = [run for run in runs(client) if run.data.params["epochs"] == str(LONG)]
    assert_whole(client, run)


@pytest.mark.parametrize("changed", [{"MLFLOW_TRACKING_PASSWORD": "wrong"}, {"MLFLOW_TRACKING_USERNAME": ""}])
def test_a_wrong_account_costs_the_run_and_one_line(
    reproduced: Project, client: MlflowClient, tmp_path: Path, changed: dict[str, str]
) -> None:
    other = retrained(reproduced, tmp_path / "other", learning_rate=0.123)
    printed = replace(other, extra={**other.extra, **changed}).run("mnist-pipeline", "train", "mlp")
    (warning,) = [line for line in printed.splitlines() if line.startswith("warning:")]
    assert "401" in warning
    assert "0.123" not in {run.data.params["learning_rate"] for run in runs(client)}
