"""Real projects in temporary git repositories: this repository's pipeline over tiny data."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from warm import warm

ROOT = Path(__file__).parents[1]
TINY: dict[str, Any] = {"epochs": 2, "batch_size": 32}


@dataclass(frozen=True)
class Project:
    """A repository in a folder of its own, which is the home folder of its commands; `extra` is their environment."""

    path: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str, code: int | None = 0) -> str:
        """Runs a command in the project; returns all that it printed. `code=None` accepts any exit code."""
        environment = self.environment()
        done = subprocess.run(
            command,
            cwd=self.path,
            env=environment | {"PATH": f"{warm_commands()}:{environment['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        assert code is None or done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def watched(self, command: Sequence[str], hear: Callable[[str, subprocess.Popen[str]], None]) -> tuple[int, str]:
        """Runs a command in its own session, while `hear` hears each line; its exit code and all that it printed."""
        with subprocess.Popen(
            command,
            cwd=self.path,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                hear(line, process)
        return process.returncode, "".join(lines)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
        who = {
            f"GIT_{role}_{what}": "tester@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        home = str(self.path.parent)  # the default remote is in the home folder, and the tests' own must not be written
        outside = {"HOME": home, "DVC_GLOBAL_CONFIG_DIR": home, "DVC_SYSTEM_CONFIG_DIR": home}
        return {**kept, **who, **outside, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **self.extra}

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def params(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.read("params.yaml"))
        return content

    def write_params(self, content: dict[str, Any]) -> None:
        (self.path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False, width=1000))

    def clone(self, path: Path) -> "Project":
        """Another clone of the same user's, without anything that git does not keep."""
        self.run("git", "clone", "--quiet", ".", str(path))
        return Project(path, {**self.extra, "HOME": self.environment()["HOME"]})

    def copy(self, path: Path) -> "Project":
        """Another folder with all that is in this one, of which MLflow's store knows that it has moved."""
        shutil.copytree(self.path, path)
        copy = Project(path, self.extra)
        copy.run("mnist-pipeline", "sync")
        return copy

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)


@cache
def warm_commands() -> Path:
    """A folder of commands that begin at once, as long as this process lasts."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(warm(Path(stack.enter_context(tempfile.TemporaryDirectory()))))


def make_project(path: Path, data: Path) -> Project:
    project = Project(path)
    shutil.copytree(ROOT / "src", path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("Makefile", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, path / name)
    params = project.params()
    params["data"] |= {"dataset": "idx", "source": str(data)}
    params["train"]["validation_size"] = 100
    params["train"]["lenet"] |= TINY
    params["train"]["mlp"] |= TINY | {
        "learning_rate": 0.001,
        "architecture": {"activation": "relu", "hidden": [32], "dropout": 0.0},
    }
    params["evaluate"]["mistakes"] = 9
    params["export"]["latency_repeats"] = 2
    project.write_params(params)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    shutil.copy(ROOT / ".dvc/config", path / ".dvc/config")
    project.commit("A project with tiny data")
    return project
