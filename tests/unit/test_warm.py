"""A command that begins at once does what it does when it begins anew."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import warm
from projects import ROOT, warm_commands

BEGUN_ANEW = Path(sys.executable).parent / "mnist-pipeline"


def ran(program: str | Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def address() -> str:
    """Of the process that forks, when it is there: until then, commands begin anew."""
    found = warm_commands().parent / "address"
    while not found.exists():
        assert server(str(found)).is_running()
        time.sleep(0.1)
    return str(found)


def server(address: str) -> psutil.Process:
    (found,) = (process for process in psutil.Process().children() if process.cmdline()[-1:] == [address])
    return found


@pytest.mark.parametrize("command", ["--help", "train nothing", "--no-such-option"])
def test_it_prints_and_ends_the_same(address: str, command: str) -> None:
    assert ran(warm_commands() / "mnist-pipeline", *command.split()) == ran(BEGUN_ANEW, *command.split())


def test_no_thread_of_a_library_is_lost_by_a_fork(address: str) -> None:
    assert server(address).num_threads() == 1


def test_it_begins_anew_where_libraries_would_load_in_another_way(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AnewError(Exception):
        pass

    def begin_anew(command: list[str]) -> None:
        raise AnewError

    monkeypatch.setattr(warm, "begin_anew", begin_anew)
    assert warm.call(address, ["mnist-pipeline", "--help"]) == 0
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(AnewError):
        warm.call(address, ["mnist-pipeline", "--help"])


def test_it_ends_with_its_caller(address: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "params.yaml")  # which the command reads for ever
    forked = server(address)
    with subprocess.Popen([warm_commands() / "mnist-pipeline", "train", "lenet"], cwd=tmp_path) as caller:
        until(lambda: len(forked.children(recursive=True)) == 2)  # the command, and who waits for it
        caller.kill()
    until(lambda: not forked.children())


def test_it_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    folder = tmp_path / "warm"
    script = (
        f"import os, pathlib, warm\nwarmth = warm.warm(pathlib.Path({str(folder)!r}))\nwarmth.__enter__()\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT / "tests", check=True)
    until(lambda: not any(str(folder / "address") in (process.info["cmdline"] or []) for process in every_process()))


def every_process() -> Iterator[psutil.Process]:
    return psutil.process_iter(["cmdline"])


def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds, which the time limit of a test ends."""
    while not holds():
        time.sleep(0.1)
