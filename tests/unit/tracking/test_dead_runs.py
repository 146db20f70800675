"""No run is RUNNING when nobody trains, and none is taken from a training that does."""

import os
import subprocess
import sys

import pytest
from mlflow.exceptions import MlflowException

from mnist_pipeline import paths
from mnist_pipeline.tracking import runs

KILLED_WHILE_IT_TRAINS = """
import os, signal
from mnist_pipeline.params import load_params
from mnist_pipeline.tracking.publish import live_run
with live_run(load_params(), "lenet") as run:
    run.log_epoch({"epoch": 1, "train_loss": 2.5})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def fail(*_: object) -> None:
    raise MlflowException("connection reset")


def close_as_another_process(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_is_alive", lambda tags: False)
        runs.close_dead_runs(tracked.store)


def test_a_killed_training_is_closed_by_the_next_one(tracked) -> None:
    tracked.write_params_for_another_process()
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_TRAINS], check=False, env=os.environ)
    assert (done.returncode, tracked.run().info.status) == (-9, "RUNNING")
    tracked.train()
    assert sorted(run.info.status for run in tracked.runs()) == ["FINISHED", "KILLED"]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, "RUNNING"),
        ({"process.host": "elsewhere", "process.id": "4194305"}, "RUNNING"),
        ({"process.boot_id": "before the power cut"}, "KILLED"),
        ({"process.id": "4194305"}, "KILLED"),  # more than Linux gives
        ({"process.started": "1000000000"}, "KILLED"),  # another program has the number by now
    ],
)
def test_a_process_is_known_by_host_boot_number_and_start(tracked, changed: dict[str, str], status: str) -> None:
    def check(epoch: int) -> None:
        runs.set_tags(tracked.store.client, tracked.run().info.run_id, changed)
        runs.close_dead_runs(tracked.store)
        assert tracked.run().info.status == status
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tracked.train(before_epoch=check)


def test_a_training_that_mlflow_failed_is_deleted_when_its_whole_run_is_there(tracked, monkeypatch, warnings) -> None:
    """The store answers again before the training ends."""
    paths.SYNCED.touch()
    with monkeypatch.context() as failing:
        tracked.train(before_epoch=lambda epoch: epoch == 2 and failing.setattr(runs, "log_metrics", fail))
    assert len(warnings()) == 1
    assert not paths.SYNCED.exists()  # the next sync looks again
    assert tracked.history(tracked.run(), "train_loss") == [(1, 2.5)]
    assert "dvc.md5" not in tracked.run().data.tags
    tracked.evaluate()
    close_as_another_process(tracked, monkeypatch)
    assert tracked.history(tracked.run(), "train_loss") == [(1, 2.5), (2, 1.5)]


@pytest.mark.parametrize("stage", ["evaluate", "validate", "compare"])
def test_half_of_a_run_that_was_written_at_once_is_deleted(tracked, stage: str, monkeypatch) -> None:
    def found() -> list[str]:
        return [run.info.status for kind in ("", "-data", "-comparisons") for run in tracked.runs(kind)]

    tracked.write_training()
    with monkeypatch.context() as failing:
        failing.setattr(runs, "_add", fail)
        getattr(tracked, stage)()
    assert found() == ["RUNNING"]
    close_as_another_process(tracked, monkeypatch)
    assert found() == []
