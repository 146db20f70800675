"""Real projects in temporary git repositories: this repository's pipeline over tiny data."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from ruamel.yaml import YAML

from mnist_pipeline import cli

ROOT = Path(__file__).parents[1]
TINY: dict[str, Any] = {"epochs": 2, "batch_size": 32}


@dataclass(frozen=True)
class Project:
    """A repository in a folder of its own, which is the home folder of its commands; `extra` is their environment."""

    path: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str, code: int | None = 0) -> str:
        """Runs a command in a process of its own; returns all that it printed. `code=None` accepts any exit code."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=self.path, env=self.environment(), timeout=500, check=False, **options)
        assert code is None or done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def cli(self, *arguments: str, code: int = 0) -> str:
        """Runs `mnist-pipeline` within this process, which saves seconds of imports; returns all that it printed."""
        printed, ended = io.StringIO(), None
        with (
            chdir(self.path),
            patch.dict(os.environ, self.environment(), clear=True),
            patch.object(sys, "argv", ["mnist-pipeline", *arguments]),
            redirect_stdout(printed),
            redirect_stderr(printed),
        ):
            try:
                cli.main()
            except SystemExit as end:
                ended = end.code
        if isinstance(ended, str):  # as the interpreter does
            printed.write(f"{ended}\n")
            ended = 1
        assert (ended or 0) == code, f"{arguments} ended with {ended}:\n{printed.getvalue()}"
        return printed.getvalue()

    def watched(self, command: Sequence[str], on_line: Callable[[str, subprocess.Popen[str]], None]) -> tuple[int, str]:
        """Runs a command in its own session and gives each line to `on_line`; its exit code and all that it printed."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        with subprocess.Popen(command, cwd=self.path, env=self.environment(), **options) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                on_line(line, process)
        return process.returncode, "".join(lines)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
        who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        home = str(self.path.parent)  # the default remote is in the home folder, and the tests' own must not be written
        outside = {"HOME": home, "DVC_GLOBAL_CONFIG_DIR": home, "DVC_SYSTEM_CONFIG_DIR": home}
        return {**kept, **who, **outside, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **self.extra}

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def params(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.read("params.yaml"))
        return content

    def write_params(self, content: dict[str, Any]) -> None:
        YAML().dump(content, self.path / "params.yaml")  # in the style in which DVC writes it

    def clone(self, path: Path) -> "Project":
        """Another clone of the same user's, without anything that git does not keep."""
        self.run("git", "clone", "--quiet", ".", str(path))
        return Project(path, {**self.extra, "HOME": self.environment()["HOME"]})

    def copy(self, path: Path) -> "Project":
        """Another folder with all that is in this one, of which MLflow's store knows that it has moved."""
        shutil.copytree(self.path, path)
        copy = Project(path, self.extra)
        copy.cli("sync")
        return copy

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)


def make_project(path: Path, data: Path) -> Project:
    project = Project(path)
    shutil.copytree(ROOT / "src", path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for folder in ("suites", "sweeps"):
        shutil.copytree(ROOT / folder, path / folder)
    for folder in ("init", "data/own"):  # empty: what somebody keeps there is none of the tests'
        (path / folder).mkdir(parents=True)
        (path / folder / ".gitkeep").touch()
    for name in ("Makefile", "dvc.yaml", "params.yaml", "pyproject.toml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, path / name)
    params = project.params()
    params["models"] = ["lenet", "mlp"]  # whatever the repository's own are
    params["data"] |= {"dataset": "idx", "folder": str(data)}
    params["data"]["image"]["preparation"] = "mnist"
    params["train"]["validation_share"] = 0.25
    params["train"]["lenet"] |= TINY
    params["train"]["mlp"] |= TINY | {"learning_rate": 0.001}
    params["train"]["mlp"]["architecture"]["hidden"] = [32]
    params["evaluate"]["mistakes"] = 9
    params["export"]["latency_repeats"] = 2
    params["tracking"]["time_budget_seconds"] = 600  # a busy machine must cost no run
    project.write_params(params)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    shutil.copy(ROOT / ".dvc/config", path / ".dvc/config")
    project.commit("A project with tiny data")
    return project
