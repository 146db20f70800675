"""A store that fails costs its row and one line, and no stage."""

import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from mnist_pipeline import paths
from mnist_pipeline.tracking import publish, rows, runs
from servers import free_port

MODEL = "lenet"


@pytest.fixture
def dead_server(tracked, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


def test_a_dead_server_costs_seconds_and_one_line(tracked, dead_server: str, said) -> None:
    start = time.monotonic()
    tracked.train()
    assert time.monotonic() - start < 15
    (line,) = said()
    assert line.startswith("warning: MLflow did not take the row")
    assert dead_server in line
    assert paths.weights(MODEL).exists()


def test_a_server_that_dies_half_way_is_told_once(tracked, said) -> None:
    tracked.train_without_a_store_from_the_second_epoch_on()
    assert len(said()) == 1
    assert tracked.history(tracked.row(), "train/loss") == [(1, 2.5)]
    assert "dvc.md5" not in tracked.row().data.tags


def test_a_driver_s_own_error_costs_one_line_without_its_password(
    tracked, monkeypatch: pytest.MonkeyPatch, said
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no route to s3://key:secret@store")

    monkeypatch.setattr(runs, "log_metrics", fail)
    tracked.train()
    (line,) = said()
    assert "no route to s3://…@store" in line
    assert paths.weights(MODEL).exists()


def test_a_replacement_that_breaks_off_leaves_the_old_row_alone(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    before = tracked.row()
    monkeypatch.setattr(rows, "_carry_over", lambda *_: (_ for _ in ()).throw(MlflowException("reset")))
    tracked.change("evaluate", calibration_bins=7)
    tracked.evaluate(accuracy=0.95)
    assert tracked.row().info.run_id == before.info.run_id


def test_a_database_whose_driver_is_missing_costs_one_line(tracked, monkeypatch: pytest.MonkeyPatch, said) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+asyncpg://nobody@127.0.0.1:1/rows")
    tracked.train()
    (line,) = said()
    assert "asyncpg" in line


def test_a_damaged_database_costs_one_line(tracked, said) -> None:
    Path("mlruns/mlflow.db").write_bytes(bytes(range(256)) * 32)
    tracked.train()
    (line,) = said()
    assert "file is not a database" in line


def test_the_project_s_own_errors_are_not_taken_for_the_store_s(tracked) -> None:
    tracked.train()
    with pytest.raises(FileNotFoundError):
        publish.publish_evaluation(tracked.params, MODEL)
