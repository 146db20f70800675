"""The commands on the pages of the documentation."""

import re
import shlex
from contextlib import AbstractContextManager
from pathlib import Path

from projects import Project
from servers import free_port, running

BY_ITSELF = ("profile", "promote", "lineage", "sync")
"""Commands of ours that start no process; they run within the test's, which saves seconds of imports."""
WITHOUT_INSTALLING = "--assume-old=.venv/.installed"
"""The tests run in an environment that is already there."""


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def inline_commands(page: Path, beginning: str) -> list[str]:
    return re.findall(rf"`({beginning} [^`]+)`", page.read_text())


def follow(project: Project, page: str, command: str) -> None:
    """Runs a command of a page as a reader does, who commits what `dvc repro` and `make repro` give."""
    words = shlex.split(command)
    if words[0] == "make":
        words.insert(1, WITHOUT_INSTALLING)
    if words[-1] == "ui":
        port = free_port()
        with serving(project, [*words, f"PORT={port}"], f"http://127.0.0.1:{port}"):
            pass
    elif words[0] == "mnist-pipeline" and words[1] in BY_ITSELF:
        project.cli(*words[1:])
    else:
        project.run(*words)
    if words[-1] == "repro":
        project.commit(f"The result of {page}")


def serving(project: Project, command: list[str], address: str) -> AbstractContextManager[int]:
    log = project.path.parent / "server.log"
    return running(command, address, folder=project.path, environment=project.environment(), log=log)
