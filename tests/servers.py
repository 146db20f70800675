"""Real servers on this machine alone, for the length of a test."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

START_SECONDS = 90
STOP_SECONDS = 30


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    ready: str | Callable[[], bool],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
) -> Iterator[int]:
    """A command, once its address or a function answers; its session, which all its processes belong to.

    In the end it is interrupted as by Ctrl-C.
    """
    with log.open("w") as printed:
        streams = {"stdout": printed, "stderr": printed}
        server = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (_answers(ready) if isinstance(ready, str) else ready()):
            assert server.poll() is None, f"the server ended by itself: {log.read_text()}"
            assert time.monotonic() < deadline, f"no answer after {START_SECONDS} s: {log.read_text()}"
            time.sleep(0.1)
        yield server.pid
    finally:
        subprocess.run(["pkill", "-INT", "--session", str(server.pid)], check=False)
        try:
            server.wait(timeout=STOP_SECONDS)
        finally:
            subprocess.run(["pkill", "-KILL", "--session", str(server.pid)], check=False)


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def kill(session: int) -> None:
    """Ends a server as a power cut does."""
    subprocess.run(["pkill", "-KILL", "--session", str(session)], check=True)


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False
