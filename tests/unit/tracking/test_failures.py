"""A store that fails or is slow costs its run, one line and a bounded time, and no stage."""

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.tracking import runs
from mnist_pipeline.tracking.publish import publish

BUDGET = 1.5
DATABASE = Path("mlruns/mlflow.db")


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def slow_server() -> str:
    """The address of a server that sends a byte now and again."""

    def answer(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
            while not time.sleep(0.2):
                connection.sendall(b"x")
        except OSError:
            connection.close()

    def accept() -> None:
        for _ in range(3):
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def execute(command: str) -> sqlite3.Connection:
    connection = sqlite3.connect(DATABASE, isolation_level=None)
    connection.execute(command)
    return connection


NO_SPACE = "CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(FAIL, 'no space'); END"
FAILURES: dict[str, tuple[Callable[[], object], str]] = {
    "a folder in the place of the database": (lambda: (DATABASE.unlink(), DATABASE.mkdir()), "mlflow.db"),
    "a damaged database": (lambda: DATABASE.write_bytes(bytes(range(256)) * 32), "not a database"),
    "a locked database": (lambda: execute("BEGIN EXCLUSIVE"), "time_budget_seconds: 1.5"),
    "an error within SQL": (lambda: execute(NO_SPACE).close(), "database: no space: "),
    "a missing driver": (lambda: "postgresql+asyncpg://nobody@127.0.0.1:1/runs", "asyncpg"),
    "a dead server": (lambda: "http://127.0.0.1:1", "refused"),
    "a slow server": (slow_server, "time_budget_seconds: 1.5"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_costs_one_line_and_at_most_the_budget(tracked, name: str, monkeypatch, warnings) -> None:
    make, shown = FAILURES[name]
    made = make()
    if isinstance(made, str):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", made)
    for strict in (False, True):
        tracked.change("tracking", time_budget_seconds=BUDGET, strict=strict)
        start = time.monotonic()
        if strict:
            with pytest.raises(PipelineError, match=r"tracking\.strict"):
                tracked.train()
        else:
            tracked.train()
            (line,) = warnings()
            assert line.startswith("warning: ")
            assert shown in line
            assert paths.weights("lenet").exists()
        assert time.monotonic() - start < BUDGET + 3  # on a busy machine
    if isinstance(made, sqlite3.Connection):
        made.close()


def test_a_store_that_gets_slow_is_called_no_more_when_the_time_is_spent(tracked, monkeypatch, warnings) -> None:
    prompt, calls = MlflowClient.log_batch, []

    def slowly(*arguments: object, **options: object) -> None:
        calls.append(arguments)
        time.sleep(0.6)
        prompt(*arguments, **options)

    tracked.change("tracking", time_budget_seconds=BUDGET)
    monkeypatch.setattr(MlflowClient, "log_batch", slowly)
    tracked.train(before_epoch=lambda epoch: time.sleep(1))
    assert len(warnings()) == 1
    made = len(calls)
    time.sleep(1.5)  # the thread that was late continues
    assert len(calls) == made
    assert "dvc.md5" not in tracked.run().data.tags


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://key:secret@store"),
        OSError("no route to s3://key:secret@store"),
        MlflowException("postgresql://host/runs?password=secret"),
    ],
)
def test_an_error_of_a_driver_is_one_line_without_secrets(tracked, error: Exception, monkeypatch, warnings) -> None:
    monkeypatch.setattr(runs, "_add", raising(error))
    tracked.train()
    (line,) = warnings()
    assert "…" in line
    assert "secret" not in line


def test_an_error_of_our_own_is_raised(tracked, monkeypatch) -> None:
    monkeypatch.setattr(runs, "write_once", raising(KeyError("ours")))
    with pytest.raises(KeyError, match="ours"):
        publish(tracked.params, "download")


def test_a_strict_store_does_not_hide_another_error(tracked, monkeypatch) -> None:
    def stop(epoch: int) -> None:
        monkeypatch.setattr(runs, "set_tags", raising(MlflowException("reset")))
        raise KeyboardInterrupt

    tracked.change("tracking", strict=True)
    with pytest.raises(KeyboardInterrupt):
        tracked.train(before_epoch=stop)


def test_variables_of_the_user_do_no_harm(tracked, monkeypatch, warnings) -> None:
    given = {"MLFLOW_RUN_ID": "0" * 32, "MLFLOW_EXPERIMENT_NAME": "mine", "MLFLOW_ENABLE_ASYNC_LOGGING": "true"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    tracked.train()
    tracked.export()
    assert (tracked.run().info.status, len(tracked.run().outputs.model_outputs), warnings()) == ("FINISHED", 1, [])
    assert given.items() <= os.environ.items()
