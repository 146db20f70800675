"""What each failure of MLflow costs a training, in a tiny project: `make bench` measures it for the page on tracking.

Each training starts without weights and with an empty store and meets one failure; an evaluation under the same failure
follows. Then the failure ends, `mnist-pipeline sync` runs, and all runs are compared with undisturbed ones.

Usage: python tracking_failures.py [PART OF A FAILURE'S NAME]... | --publish
"""

import importlib.metadata
import os
import platform
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from mnist_pipeline import paths
from mnist_pipeline.tracking.store import open_store
from projects import Project, make_project
from report import measure_or_publish, processor, table
from servers import free_port, kill, running
from tracked_content import shown

MODEL, EPOCHS = "mlp", 12
STRIKE_AT = "epoch   3/"
"""What a training has printed when a failure strikes in its middle."""
BUDGET = 5.0
"""`tracking.time_budget_seconds`: by the default, these trainings end before a slow server has used it up."""
COLUMNS = ("failure", "exit code", "training waited", "evaluation waited", "warnings", "weights", "runs after `sync`")
COLUMNS += ("left running",)


@dataclass(frozen=True)
class Trouble:
    """One failure: variables of the commands that meet it, what strikes in the middle, and what ends it."""

    end: Callable[[], object] = lambda: None
    variables: dict[str, str] = field(default_factory=dict)
    strike: Callable[[subprocess.Popen[str]], object] | None = None


@dataclass(frozen=True)
class Ended:
    code: int
    seconds: float
    printed: str
    warnings: int


@dataclass(frozen=True)
class Outcome:
    """What a failure did, and the `runs` after `sync`, but for killed ones.

    `evaluated` is missing where no evaluation ran, and `same_weights` where there are none.
    """

    trained: Ended
    evaluated: Ended | None
    same_weights: bool | None
    synced: Ended
    runs: dict[str, Any]
    left_running: int


class NotPossibleError(Exception):
    """This machine does not let the failure be made."""


class Place:
    """A project that DVC has run as far as the stage `last`, and the `runs` that MLflow then shows."""

    def __init__(self, project: Project, last: str) -> None:
        self._evaluates, self.project, self.mlruns = last == "evaluate", project, project.path / "mlruns"
        self._weights = project.path / paths.weights(MODEL)
        params = project.params()
        params["train"][MODEL]["epochs"] = EPOCHS
        params["tracking"]["time_budget_seconds"] = BUDGET
        project.write_params(params)
        project.commit("The parameters of the benchmark")
        project.run("dvc", "repro", f"{last}@{MODEL}")
        project.run("mnist-pipeline", "sync")  # a busy machine spends the time budget without any failure
        self.runs, self._undisturbed = shown(project.path), self._weights.read_bytes()
        self._empty = Path(tempfile.mkdtemp())
        with mock.patch.dict(os.environ, {"DVC_ROOT": str(self._empty)}):
            open_store(params["tracking"]["experiment"])

    def make_store(self) -> None:
        """An empty store, as the first stage leaves it."""
        self.mlruns.mkdir(exist_ok=True)
        shutil.copy(self._empty / "mlruns/mlflow.db", self.mlruns)

    def run(self, *command: str, trouble: Trouble = Trouble()) -> Ended:
        """Runs a command, with a failure that may strike in its middle."""
        start = time.monotonic()

        def strike(line: str, process: subprocess.Popen[str]) -> None:
            if trouble.strike and STRIKE_AT in line:
                trouble.strike(process)

        project = Project(self.project.path, {**self.project.extra, **trouble.variables})
        code, printed = project.watched(command, strike)
        return Ended(code, time.monotonic() - start, printed, printed.count("warning: "))

    def meet(self, failure: Callable[["Place"], AbstractContextManager[Trouble]]) -> Outcome:
        """Trains under a failure, evaluates where the undisturbed run did, ends it and lets `sync` do the rest."""
        shutil.rmtree(self.mlruns, ignore_errors=True)
        self._weights.unlink(missing_ok=True)
        with failure(self) as trouble:
            trained = self.run("mnist-pipeline", "train", MODEL, trouble=trouble)
            same = self._weights.read_bytes() == self._undisturbed if self._weights.exists() else None
            later = self._evaluates and trained.code == 0
            evaluated = self.run("mnist-pipeline", "evaluate", MODEL, trouble=trouble) if later else None
            trouble.end()
            synced = self.run("mnist-pipeline", "sync", trouble=trouble)
            runs = shown(self.project.path)
        left_running = sum(run["status"] == "RUNNING" for run in runs.values())
        alive = {name: run for name, run in runs.items() if run["status"] != "KILLED"}
        return Outcome(trained, evaluated, same, synced, alive, left_running)

    def server(self, port: int) -> AbstractContextManager[int]:
        """A real MLflow server over the store of the project."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--no-serve-artifacts", "--default-artifact-root", str(self.mlruns / "artifacts")]
        command += ["--backend-store-uri", f"sqlite:///{self.mlruns}/mlflow.db"]
        environment = self.project.environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.mlruns.mkdir(exist_ok=True)
        log = self.project.path.parent / "server.log"
        return running(command, address(port), folder=self.project.path, environment=environment, log=log)


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@contextmanager
def answering(handle: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """A listening socket, each of whose connections a thread handles."""

    def handled(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handle(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=handled, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener


@contextmanager
def server_sends(place: Place, start: bytes | None, more: bytes = b"") -> Iterator[Trouble]:
    """Answers with `start`, then with `more` every half second, or refuses the connection; a real server follows."""

    def send(connection: socket.socket) -> None:
        connection.sendall(start or b"")
        while more or not start:
            time.sleep(0.5)
            connection.sendall(more)

    with ExitStack() as stack:
        fake = stack.enter_context(answering(send))
        port = fake.getsockname()[1]

        def close() -> None:
            with suppress(OSError):
                fake.shutdown(socket.SHUT_RDWR)
            fake.close()

        def end() -> None:
            close()
            stack.enter_context(place.server(port))

        if start is None:
            close()
        yield Trouble(end, {"MLFLOW_TRACKING_URI": address(port)})


@contextmanager
def server_is_slow(place: Place, delay: float) -> Iterator[Trouble]:
    """A proxy delays what a real server answers."""
    port, delays = free_port(), [delay]

    def pump(source: socket.socket, target: socket.socket, delays: list[float]) -> None:
        with suppress(OSError):
            while data := source.recv(2**20):
                time.sleep(sum(delays))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def handle(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            threading.Thread(target=pump, args=(connection, upstream, []), daemon=True).start()
            pump(upstream, connection, delays)

    with place.server(port), answering(handle) as proxy:
        yield Trouble(delays.clear, {"MLFLOW_TRACKING_URI": address(proxy.getsockname()[1])})


@contextmanager
def server_is_killed(place: Place) -> Iterator[Trouble]:
    port = free_port()
    with ExitStack() as stack, place.server(port) as session:
        uri = {"MLFLOW_TRACKING_URI": address(port)}
        yield Trouble(lambda: stack.enter_context(place.server(port)), uri, lambda _: kill(session))


@contextmanager
def database_is_locked(place: Place, later: bool) -> Iterator[Trouble]:
    place.make_store()
    with closing(sqlite3.connect(place.mlruns / "mlflow.db", isolation_level=None)) as connection:
        lock = partial(connection.execute, "BEGIN EXCLUSIVE")
        if not later:
            lock()
        yield Trouble(connection.close, strike=(lambda _: lock()) if later else None)


@contextmanager
def disk_is_full(place: Place, later: bool = False) -> Iterator[Trouble]:
    """Too little space for an empty store, or none left in the middle."""
    place.mlruns.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={'8m' if later else '200k'}", "none", str(place.mlruns)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        raise NotPossibleError("this user may not mount a small disk")

    def fill(_: object) -> None:
        with (place.mlruns / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass

    try:
        if later:
            place.make_store()
        remount = ["mount", "-o", "remount,size=64m", str(place.mlruns)]
        yield Trouble(partial(subprocess.run, remount, check=True), strike=fill if later else None)
    finally:
        subprocess.run(["umount", str(place.mlruns)], check=True)


@contextmanager
def path_is_taken(place: Place, path: str, folder: bool) -> Iterator[Trouble]:
    """A file lies where a folder should, or the other way round."""
    taken = place.mlruns / path
    taken.mkdir(parents=True) if folder else taken.write_text("not a folder")
    yield Trouble(taken.rmdir if folder else taken.unlink)


@contextmanager
def training_is_killed(place: Place) -> Iterator[Trouble]:
    place.make_store()
    yield Trouble(strike=lambda training: training.kill())


BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
ENDLESS = b"HTTP/1.1 200 OK\r\nX-Endless: "
FAILURES: dict[str, Callable[[Place], AbstractContextManager[Trouble]]] = {
    "the server refuses the connection": partial(server_sends, start=None),
    "the server accepts and never answers": partial(server_sends, start=b""),
    "the server sends a byte every 0.5 s": partial(server_sends, start=ENDLESS, more=b"x"),
    "the server answers 500": partial(server_sends, start=BROKEN),
    "each answer of the server takes 2 s": partial(server_is_slow, delay=2),
    "each answer of the server takes 7 s": partial(server_is_slow, delay=7),
    "the server is killed in the middle of the training": server_is_killed,
    "another process locks the SQLite file": partial(database_is_locked, later=False),
    "another process locks it in the middle of the training": partial(database_is_locked, later=True),
    "the disk of `mlruns/` is full": disk_is_full,
    "the disk fills up in the middle of the training": partial(disk_is_full, later=True),
    "`mlruns` is a file": partial(path_is_taken, path="", folder=False),
    "`mlflow.db` is a folder": partial(path_is_taken, path="mlflow.db", folder=True),
    "the training itself is killed": training_is_killed,
}


def cells(place: Place, failure: Callable[[Place], AbstractContextManager[Trouble]], usual: list[float]) -> list[str]:
    try:
        outcome = place.meet(failure)
    except NotPossibleError as reason:
        return [f"not tried: {reason}", *[""] * (len(COLUMNS) - 2)]
    sys.stderr.write(f"{failure}\n{outcome.trained.printed}{outcome.synced.printed}\n")
    ended = [end for end in (outcome.trained, outcome.evaluated) if end]
    waited = [f"{max(end.seconds - least, 0):.0f} s" for end, least in zip(ended, usual, strict=False) if end.code == 0]
    weights = {True: "the same bytes", False: "OTHER", None: "none"}[outcome.same_weights]
    return [
        ", ".join(str(end.code) for end in ended),
        *[*waited, "", ""][:2],
        ", ".join(str(end.warnings) for end in ended),
        weights,
        "whole" if outcome.runs == place.runs else "NOT WHOLE",
        str(outcome.left_running),
    ]


def measure() -> dict[str, Any]:
    from conftest import write_idx_files

    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    chosen, rows = sys.argv[1:], []
    with tempfile.TemporaryDirectory() as folder:
        write_idx_files(Path(folder) / "data")
        place = Place(make_project(Path(folder) / "project", Path(folder) / "data"), "evaluate")
        usual = [
            statistics.median(place.run("mnist-pipeline", stage, MODEL).seconds for _ in range(3))
            for stage in ("train", "evaluate")
        ]
        for name, failure in FAILURES.items():
            if not chosen or any(part in name for part in chosen):
                rows.append([name, *cells(place, failure, usual)])
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mlflow", "dvc", "torch"))
    conditions = (
        f"Measured on {os.cpu_count()} cores of {processor()} with Python {platform.python_version()}, {versions}. "
        f"Without a failure the training takes {usual[0]:.1f} s and the evaluation {usual[1]:.1f} s "
        f"(median of 3). Each failure was met once, with `tracking.time_budget_seconds: {BUDGET:g}`."
    )
    return {"rows": rows, "conditions": conditions}


def tables(content: Mapping[str, Any]) -> dict[str, str]:
    return {"tracking failures": f"{table(COLUMNS, content['rows'])}\n\n{content['conditions']}"}


if __name__ == "__main__":
    measure_or_publish("tracking_failures", measure, tables)
