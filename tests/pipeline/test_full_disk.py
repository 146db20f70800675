"""A full disk costs one line and a run of the same command: nothing half-written stays."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from projects import Project

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
FAILING = ("download", "validate", "train mlp", "evaluate mlp", "compare", "export mlp", "card mlp", "sync")


@pytest.fixture(scope="module")
def small(first_result: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that is on a disk of its own, with the temporary folder of its commands."""
    disk = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(disk)], check=True)
    try:
        (disk / "tmp").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(disk / "tmp"))
            yield first_result.copy(disk / "repo")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # MLflow keeps its database open


def run_on_full_disk(project: Project, command: str, code: int) -> list[str]:
    """What a command prints while there is no space for a byte."""
    filler = project.path.parent / "filler"
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(4096)):
            pass
    try:
        return project.cli(*command.split(), code=code).splitlines()
    finally:
        filler.unlink()


def files(project: Project) -> set[Path]:
    return {path for path in project.path.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("command", FAILING)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(small: Project, command: str) -> None:
    before = files(small)
    *others, last = run_on_full_disk(small, command, code=1)
    assert last.startswith("error: ")
    assert f"no space left on the disk of {small.path.parent}: " in last
    assert not [line for line in others if "error" in line.lower() or "warning" in line]
    assert files(small) <= before
    small.cli(*command.split())


def test_what_writes_nothing_needs_no_space(small: Project) -> None:
    figure = next((small.path / "reports").rglob("*.png"))
    run_on_full_disk(small, f"predict {figure}", code=0)
    run_on_full_disk(small, "results", code=0)
    assert "see disk" in run_on_full_disk(small, "doctor", code=1)[-1]
