"""What each failure of MLflow costs a training, in a tiny project: `make bench` prints the table of docs/tracking.md.

Each training begins without weights and with an empty store and meets one failure; an evaluation under the same failure
follows. Then the failure is mended, `mnist-pipeline sync` runs, and all rows are compared with undisturbed ones.
"""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import requests

from mnist_pipeline import paths
from mnist_pipeline.tracking.store import open_store
from projects import Project, make_project
from report import processor, table
from servers import free_port, kill, running
from tracked_content import shown

MODEL = "mlp"
EPOCHS = 12
STRIKE_AT = "epoch   3/"
"""What a training has printed when a failure strikes in its middle."""
ANSWER_SECONDS = 2.0
PATIENCE = 5.0
"""`tracking.patience_seconds`: by the default, these trainings are over before a slow server has used it up."""
LOCK = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], isolation_level=None).execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
input()
"""
COLUMNS = (
    "failure",
    "exit code",
    "training waited",
    "evaluation waited",
    "warnings",
    "weights",
    "rows after `sync`",
    "left running",
)


@dataclass(frozen=True)
class Trouble:
    """One failure: variables of the commands that meet it, what strikes in the middle, and what mends it."""

    mend: Callable[[], object]
    variables: Mapping[str, str] = field(default_factory=dict)
    strike: Callable[[subprocess.Popen[str]], object] | None = None


@dataclass(frozen=True)
class Ended:
    code: int
    seconds: float
    printed: str

    @property
    def warnings(self) -> int:
        return self.printed.count("warning: ")


@dataclass(frozen=True)
class Outcome:
    """What a failure did; `evaluated` is missing where no evaluation ran, and `same_weights` where there are none."""

    trained: Ended
    evaluated: Ended | None
    same_weights: bool | None
    synced: Ended
    whole: bool
    left_running: int


class NotPossibleError(Exception):
    """This machine does not let the failure be made."""


class Place:
    """A project that DVC has run as far as the stage `last`, and the rows of that undisturbed run."""

    def __init__(self, project: Project, last: str) -> None:
        self._evaluates = last == "evaluate"
        self.project = project
        self.mlruns = project.path / "mlruns"
        params = project.params()
        params["train"][MODEL]["epochs"] = EPOCHS
        params["tracking"]["patience_seconds"] = PATIENCE
        project.write_params(params)
        project.commit("The parameters of the benchmark")
        project.run("dvc", "repro", f"{last}@{MODEL}")
        self.rows = shown(project.path)
        self._digest = digest(self.weights)
        self._empty = Path(tempfile.mkdtemp())
        with mock.patch.dict(os.environ, {"DVC_ROOT": str(self._empty)}):
            open_store(params["tracking"]["experiment"])

    @property
    def weights(self) -> Path:
        return self.project.path / paths.weights(MODEL)

    def forget(self) -> None:
        """Leaves neither weights nor a store."""
        shutil.rmtree(self.mlruns, ignore_errors=True)
        self.weights.unlink(missing_ok=True)

    def make_store(self) -> None:
        """An empty store, as the first stage leaves it."""
        self.mlruns.mkdir(exist_ok=True)
        shutil.copy(self._empty / "mlruns/mlflow.db", self.mlruns)

    def run(self, *command: str, trouble: Trouble | None = None) -> Ended:
        """Runs a command, with a failure that may strike in its middle."""
        start, printed = time.monotonic(), ""
        with subprocess.Popen(
            command,
            cwd=self.project.path,
            env=self.project.environment() | dict(trouble.variables if trouble else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout or ():
                printed += line
                if trouble and trouble.strike and STRIKE_AT in line:
                    trouble.strike(process)
        return Ended(process.returncode, time.monotonic() - start, printed)

    def meet(self, failure: Callable[["Place"], AbstractContextManager[Trouble]]) -> Outcome:
        """Trains under a failure, evaluates where the undisturbed run did, mends it and lets `sync` do the rest."""
        self.forget()
        with failure(self) as trouble:
            trained = self.run("mnist-pipeline", "train", MODEL, trouble=trouble)
            same = digest(self.weights) == self._digest if self.weights.exists() else None
            later = self._evaluates and trained.code == 0
            evaluated = self.run("mnist-pipeline", "evaluate", MODEL, trouble=trouble) if later else None
            trouble.mend()
            synced = self.run("mnist-pipeline", "sync", trouble=trouble)
            rows = shown(self.project.path)
        ended = {name: row for name, row in rows.items() if row["status"] != "KILLED"}
        left_running = [name for name, row in rows.items() if row["status"] == "RUNNING"]
        return Outcome(trained, evaluated, same, synced, ended == self.rows, len(left_running))

    def server(self, port: int) -> AbstractContextManager[int]:
        """A real MLflow server over the store of the project."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--no-serve-artifacts", "--default-artifact-root", str(self.mlruns / "artifacts")]
        command += ["--backend-store-uri", f"sqlite:///{self.mlruns}/mlflow.db"]
        environment = self.project.environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.mlruns.mkdir(exist_ok=True)
        log = self.project.path.parent / "server.log"
        return running(command, address(port), folder=self.project.path, environment=environment, log=log)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def to_server(port: int) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": address(port)}


@contextmanager
def server_refuses(place: Place) -> Iterator[Trouble]:
    port = free_port()
    with ExitStack() as stack:
        yield Trouble(lambda: stack.enter_context(place.server(port)), to_server(port))


@contextmanager
def server_never_answers(place: Place) -> Iterator[Trouble]:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:  # the system accepts for it
        port = listener.getsockname()[1]

        def mend() -> None:
            listener.close()
            stack.enter_context(place.server(port))

        yield Trouble(mend, to_server(port))


class Broken(BaseHTTPRequestHandler):
    """Answers every request with 500."""

    def do_GET(self) -> None:
        body = b'{"error_code": "INTERNAL_ERROR", "message": "the database is gone"}'
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    """Says nothing where a client did not wait for the answer."""

    def handle_error(self, *_: object) -> None:
        pass


class Slow(BaseHTTPRequestHandler):
    """Hands every request to the server at `port`, and lets the answer wait."""

    delay = ANSWER_SECONDS

    def __init__(self, port: int, *arguments: Any) -> None:
        self._port = port
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = requests.request(self.command, address(self._port) + self.path, data=body, headers=dict(self.headers))
        time.sleep(self.delay)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[QuietServer]:
    with QuietServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextmanager
def server_answers_500(place: Place) -> Iterator[Trouble]:
    with ExitStack() as stack, ExitStack() as broken:
        port = broken.enter_context(answering(Broken)).server_port

        def mend() -> None:
            broken.close()
            stack.enter_context(place.server(port))

        yield Trouble(mend, to_server(port))


@contextmanager
def server_is_slow(place: Place, delay: float = ANSWER_SECONDS) -> Iterator[Trouble]:
    """The mend is that the same server answers at once."""
    port = free_port()
    handler = type("Delayed", (Slow,), {"delay": delay})
    with place.server(port), answering(partial(handler, port)) as server:
        yield Trouble(lambda: setattr(handler, "delay", 0), to_server(server.server_port))


@contextmanager
def server_is_killed(place: Place) -> Iterator[Trouble]:
    port = free_port()
    with ExitStack() as stack, place.server(port) as session:

        def strike(_: object) -> None:
            kill(session)

        yield Trouble(lambda: stack.enter_context(place.server(port)), to_server(port), strike)


@contextmanager
def database_is_locked(place: Place) -> Iterator[Trouble]:
    place.make_store()
    with ExitStack() as stack:
        stack.enter_context(locked(place.mlruns / "mlflow.db"))
        yield Trouble(stack.close)


@contextmanager
def database_is_locked_later(place: Place) -> Iterator[Trouble]:
    place.make_store()
    with ExitStack() as stack:
        yield Trouble(stack.close, strike=lambda _: stack.enter_context(locked(place.mlruns / "mlflow.db")))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds an exclusive transaction."""
    command = [sys.executable, "-c", LOCK, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"locked\n"
        yield
        other.communicate(b"\n")


@contextmanager
def disk_is_full(place: Place) -> Iterator[Trouble]:
    """Too little room for an empty store."""
    with small_disk(place.mlruns, "200k"):
        yield Trouble(partial(remount, place.mlruns, "64m"))


@contextmanager
def disk_fills_up(place: Place) -> Iterator[Trouble]:
    with small_disk(place.mlruns, "8m"):
        place.make_store()
        yield Trouble(partial(remount, place.mlruns, "64m"), strike=lambda _: fill(place.mlruns / "filler"))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotPossibleError("this user may not mount a small disk") from error
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:  # no space is left
            return


@contextmanager
def folder_is_a_file(place: Place) -> Iterator[Trouble]:
    place.mlruns.write_text("not a folder")
    yield Trouble(place.mlruns.unlink)


@contextmanager
def training_is_killed(place: Place) -> Iterator[Trouble]:
    place.make_store()
    yield Trouble(lambda: None, strike=lambda training: training.kill())


FAILURES: dict[str, Callable[[Place], AbstractContextManager[Trouble]]] = {
    "the server refuses the connection": server_refuses,
    "the server accepts and never answers": server_never_answers,
    "the server answers 500": server_answers_500,
    f"each answer of the server takes {ANSWER_SECONDS:g} s": server_is_slow,
    "each answer of the server takes 7 s": partial(server_is_slow, delay=7),
    "the server is killed in the middle of the training": server_is_killed,
    "another process locks the SQLite file": database_is_locked,
    "another process locks it in the middle of the training": database_is_locked_later,
    "the disk of `mlruns/` is full": disk_is_full,
    "the disk fills up in the middle of the training": disk_fills_up,
    "`mlruns` is a file": folder_is_a_file,
    "the training itself is killed": training_is_killed,
}


def main() -> None:
    from conftest import write_idx_files

    chosen = sys.argv[1:]
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_idx_files(data)
        place = Place(make_project(Path(folder) / "project", data), "evaluate")
        place.forget()
        usual = {stage: usual_seconds(place, stage) for stage in ("train", "evaluate")}
        rows = []
        for name, failure in FAILURES.items():
            if chosen and not any(part in name for part in chosen):
                continue
            try:
                outcome = place.meet(failure)
                say(f"--- {name}\n{outcome.trained.printed}{outcome.evaluated and outcome.evaluated.printed}")
                say(outcome.synced.printed)
                rows.append((name, *cells(outcome, usual)))
            except NotPossibleError as reason:
                rows.append((name, f"not tried: {reason}", *[""] * (len(COLUMNS) - 2)))
    sys.stdout.write(f"{table(COLUMNS, rows)}\n\n{conditions(usual)}\n")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def usual_seconds(place: Place, stage: str) -> float:
    return statistics.median(place.run("mnist-pipeline", stage, MODEL).seconds for _ in range(3))


def cells(outcome: Outcome, usual: Mapping[str, float]) -> tuple[str, ...]:
    trained, evaluated = outcome.trained, outcome.evaluated
    codes = [str(end.code) for end in (trained, evaluated) if end]
    return (
        ", ".join(codes),
        waited(trained.seconds - usual["train"]) if trained.code == 0 else "",
        waited(evaluated.seconds - usual["evaluate"]) if evaluated else "",
        ", ".join(str(end.warnings) for end in (trained, evaluated) if end),
        {True: "the same bytes", False: "OTHER", None: "none"}[outcome.same_weights],
        "whole" if outcome.whole else "NOT WHOLE",
        str(outcome.left_running),
    )


def waited(seconds: float) -> str:
    return f"{max(seconds, 0):.0f} s"


def conditions(usual: Mapping[str, float]) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mlflow", "dvc", "torch"))
    return (
        f"Measured on {os.cpu_count()} cores of {processor()} with Python {platform.python_version()}, {versions}. "
        f"Without a failure the training takes {usual['train']:.1f} s and the evaluation {usual['evaluate']:.1f} s "
        f"(median of 3). Each failure was met once, with `tracking.patience_seconds: {PATIENCE:g}`."
    )


if __name__ == "__main__":
    main()
