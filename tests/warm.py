"""Commands that begin at once: a process that has imported what they import forks for each of them.

Most of a short command's seconds are imports, and the tests run hundreds of them. Nothing of `mnist_pipeline` itself is
imported beforehand, so that each command runs the code of its project. `python warm.py ADDRESS` waits for calls;
`python warm.py ADDRESS mnist-pipeline results` is a call, and begins anew where that would make a difference.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

COMMANDS = ("dvc", "mnist-pipeline")
PACKAGES = (
    "dvc.commands.repro",
    "dvc.repo.reproduce",
    "great_expectations",
    "matplotlib.pyplot",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnxscript",
    "rich.progress",
    "scipy.stats",
    "torch._dynamo",
    "torch.onnx",
    "torchvision",
    "typer",
)
"""None of them starts a thread, which a fork would lose; onnxruntime does."""
READ_WHEN_LOADED = ("OMP_", "GOMP_", "MKL_", "ONEDNN_", "ATEN_", "CUDA_", "PYTHONHASHSEED")
"""Beginnings of variables that libraries read when they load."""

exit_codes: list[str | int | None] = []
"""That of this process, where it is a command that has ended."""


def main() -> None:
    address, *command = sys.argv[1:]
    if command:
        sys.exit(call(address, command))
    serve(address)


@contextmanager
def warm(folder: Path) -> Iterator[Path]:
    """A folder of commands that begin at once, as long as the context lasts."""
    address, commands, home = folder / "address", folder / "bin", folder / "home"
    for each in (commands, home):
        each.mkdir(parents=True)
    for name in COMMANDS:
        line = shlex.join([sys.executable, "-IS", __file__, str(address), name])
        (commands / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        (commands / name).chmod(0o755)
    settings = {"HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"}
    settings["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # a thread of pandas' library, which a fork would lose
    command = [sys.executable, __file__, str(address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | settings) as server:
        try:
            yield commands
        finally:
            server.terminate()


def loaded_with(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_WHEN_LOADED)}


def call(address: str, command: list[str]) -> int:
    """The exit code of a command, which has the files and the environment of this process."""
    said = {"command": command, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(address)
        except OSError:  # it is not there yet
            begin_anew(command)
        socket.send_fds(line, [b"files"], [0, 1, 2])
        line.sendall(json.dumps(said).encode() + b"\n")
        answer = line.makefile().readline()
    if answer == "anew\n":
        begin_anew(command)
    return int(answer)


def begin_anew(command: list[str]) -> None:
    program = Path(sys.executable).parent / command[0]
    os.execv(program, [str(program), *command[1:]])


def serve(address: str) -> None:
    atexit.register(end)  # the first to be registered is the last to be called
    for package in PACKAGES:
        importlib.import_module(package)
    gc.freeze()  # looking through what is there would copy it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who answers a call
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen(16)
        while select.select([door, sys.stdin], [], [])[0] == [door]:  # nothing is written there: it ends with its maker
            line, _ = door.accept()
            with line:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    door.close()
                    answer(line)
                    os._exit(0)


def answer(line: socket.socket) -> None:
    """Runs the command that is called for in a process of its own, and tells its exit code; it ends with its caller."""
    _, files, _, _ = socket.recv_fds(line, len(b"files"), 3)
    said = json.loads(line.makefile().readline())
    if loaded_with(said["environment"]) != loaded_with(dict(os.environ)):
        line.sendall(b"anew\n")
        return
    child = os.fork()
    if child == 0:
        line.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        run(said["command"], said["folder"], said["environment"])
    ended, status = 0, 0
    while not ended:
        if select.select([line], [], [], 0.01)[0]:  # it says no more, so it is gone
            os.kill(child, signal.SIGKILL)
        ended, status = os.waitpid(child, os.WNOHANG)
    with suppress(BrokenPipeError):
        line.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def run(command: list[str], folder: str, environment: dict[str, str]) -> None:
    """Becomes the command, as if its program had been started in that folder; ends with the process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = [str(Path(place).absolute()) for place in environment.get("PYTHONPATH", "").split(":") if place]
    program = str(Path(sys.executable).parent / command[0])
    sys.argv = [program, *command[1:]]
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as exit_:
        exit_codes.append(exit_.code)
        raise


def end() -> None:
    """Ends this process without taking apart all that it has imported, which would take longer than the command."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    code = exit_codes.pop() if exit_codes else 1
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    main()
