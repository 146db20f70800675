"""No row says "running" when nobody trains, and none is taken from a training that does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.tracking import patience, publish, runs
from mnist_pipeline.tracking.alive import close_dead_runs

MODEL = "lenet"
KILLED_WHILE_IT_TRAINS = """
import os, signal
from mnist_pipeline.params import load_params
from mnist_pipeline.tracking import publish
with publish.training_run(load_params(), "lenet") as row:
    row.log_epoch(1, {"train_loss": 2.5})
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tracked) -> None:
    """A row of a training whose process was killed."""
    Path("params.yaml").write_bytes((Path(__file__).parents[3] / "params.yaml").read_bytes())
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_TRAINS], check=False, env=os.environ)
    assert done.returncode == -9
    assert tracked.row().info.status == "RUNNING"


def notes() -> list[str]:
    return [path.name for path in paths.RUNNING.rglob("*") if path.is_file()]


def test_the_next_training_marks_a_killed_one(tracked, killed: None) -> None:
    tracked.train()
    assert sorted(row.info.status for row in tracked.rows()) == ["FINISHED", "KILLED"]
    assert notes() == []


def test_sync_marks_a_killed_one(tracked, killed: None) -> None:
    close_dead_runs(tracked.store.client)
    assert tracked.row().info.status == "KILLED"
    assert notes() == []


def test_a_training_that_goes_on_is_left_alone(tracked) -> None:
    with publish.training_run(tracked.params, MODEL) as row:
        close_dead_runs(tracked.store.client)
        assert tracked.row().info.status == "RUNNING"
        tracked.write_training()
        row.finish()
    assert tracked.row().info.status == "FINISHED"
    assert notes() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError()])
def test_a_training_that_breaks_off_leaves_no_note(tracked, error: BaseException) -> None:
    with pytest.raises(type(error)), publish.training_run(tracked.params, MODEL):
        raise error
    assert notes() == []


def test_a_killed_run_of_another_store_waits(tracked, killed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked.path}/elsewhere.db")
        close_dead_runs(tracked.store.client)
    assert tracked.row().info.status == "RUNNING"
    close_dead_runs(tracked.store.client)
    assert tracked.row().info.status == "KILLED"


def test_a_killed_run_that_somebody_deleted_is_in_nobody_s_way(tracked, killed: None) -> None:
    tracked.store.client.delete_run(tracked.row().info.run_id)
    tracked.train()
    assert tracked.row().info.status == "FINISHED"
    assert notes() == []


def test_a_run_that_somebody_deleted_for_good_is_forgotten(tracked, killed: None) -> None:
    note = next(path for path in paths.RUNNING.rglob("*") if path.is_file() and path.suffix != ".lock")
    note.rename(note.with_name("0" * 32))
    close_dead_runs(tracked.store.client)
    assert "0" * 32 not in notes()


def test_a_row_that_mlflow_failed_makes_way_for_the_whole_one(tracked) -> None:
    tracked.train_without_a_store_from_the_second_epoch_on()
    tracked.evaluate()
    assert len(tracked.rows()) == 2
    close_dead_runs(tracked.store.client)
    assert tracked.history(tracked.row(), "train/loss") == [(1, 2.5), (2, 1.5)]
    assert tracked.row().info.status == "FINISHED"


def test_strict_tracking_is_an_error(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked.change("tracking", strict=True)
    with pytest.raises(PipelineError, match=r"did not take the row: connection reset.*tracking\.strict: false"):
        tracked.train_without_a_store_from_the_second_epoch_on()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(PipelineError, match="Connection refused"):
        publish.publish_download(tracked.params)
    with pytest.raises(PipelineError, match="Connection refused"):
        tracked.train()


def test_a_slow_store_is_given_up_when_patience_ends(tracked, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    prompt, clock = MlflowClient.log_batch, 0.0

    def slowly(*arguments: Any, **options: Any) -> None:
        nonlocal clock
        clock += 20
        prompt(*arguments, **options)

    monkeypatch.setattr(patience, "monotonic", lambda: clock)
    monkeypatch.setattr(MlflowClient, "log_batch", slowly)
    tracked.train()
    (line,) = capfd.readouterr().err.splitlines()
    assert "this stage waited 40 s for it, more than tracking.patience_seconds: 30" in line
    assert tracked.history(tracked.row(), "train/loss") == [(1, 2.5)]
    tracked.evaluate()
    (line,) = capfd.readouterr().err.splitlines()
    assert "this stage waited 40 s for it" in line


@pytest.mark.parametrize("stage", ["train", "evaluate", "publish_download"])
def test_a_row_that_mlflow_failed_at_once_is_none(tracked, stage: str, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    def die(*_: object) -> None:
        raise MlflowException("connection reset")

    tracked.write_training()
    with monkeypatch.context() as dying:
        dying.setattr(runs, "add", die)
        if stage == "publish_download":
            publish.publish_download(tracked.params)
        else:
            getattr(tracked, stage)()
    assert [row.info.status for row in [*tracked.rows(), *tracked.data_rows()]] == ["RUNNING"]
    close_dead_runs(tracked.store.client)
    assert [*tracked.rows(), *tracked.data_rows()] == []
    assert notes() == []
