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
    address: str | Callable[[], bool],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
) -> Iterator[int]:
    """Starts a command, waits until `address` answers, and in the end interrupts it as Ctrl-C does.

    In the place of an address, for servers that do not speak HTTP, a function says whether it answers. Gives the
    number of the server's session, which all its processes belong to.
    """
    with log.open("w") as printed:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=printed, stderr=printed, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (_answers(address) if isinstance(address, str) else address()):
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
    """Whether something listens on the port."""
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
