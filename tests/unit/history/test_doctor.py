"""`mnist-pipeline doctor` shows what a machine has, and fails where `make repro` would."""

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mnist_pipeline import paths
from mnist_pipeline.commands import doctor
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.gpu import Problem
from tiny_project import TinyProject

Free = namedtuple("Free", ["free", "available"])
Patch = pytest.MonkeyPatch


def change(project: TinyProject, section: str, **values: object) -> None:
    changed = getattr(project.params, section).model_copy(update=values)
    project.params = project.params.model_copy(update={section: changed})


def without_data(project: TinyProject, **values: object) -> None:
    shutil.rmtree(paths.RAW)
    change(project, "data", **values)


FAILURES: dict[str, Callable[[TinyProject, Patch], object]] = {
    "memory": lambda project, patch: patch.setattr(psutil, "virtual_memory", lambda: Free(0, 10**9)),
    "disk": lambda project, patch: patch.setattr(shutil, "disk_usage", lambda path: Free(10**8, 0)),
    "device": lambda project, patch: change(project, "evaluate", device="cuda"),
    "git": lambda project, patch: shutil.rmtree(".git"),
    "dvc": lambda project, patch: shutil.rmtree(".dvc"),
    "data": lambda project, patch: without_data(project, source="/no/such/folder"),
}


def found(printed: str) -> list[str]:
    return [line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│")]


def test_where_all_works_there_is_a_line_of_each(
    project: TinyProject, capsys: pytest.CaptureFixture[str], monkeypatch: Patch
) -> None:
    doctor.run(project.params)
    names = ["python", "cores", "memory", "disk", "device", "git", "dvc", "data", "mlflow", "port 5000"]
    assert [name for name in found(capsys.readouterr().out) if name] == names
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "127.0.0.1:5000")
    without_data(project, source="npm")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    doctor.run(project.params)  # MLflow costs runs, and no stage
    printed = capsys.readouterr().out
    assert "did you mean http://127.0.0.1:5000" in printed
    assert "/usr/bin/npm" in printed
    assert not paths.RAW.exists()
    monkeypatch.setenv("HOME", str(Path.cwd()))
    Path("digits").mkdir()
    change(project, "data", source="~/digits")
    doctor.run(project.params)
    change(project, "data", dataset="folder", source="auto", folder="digits")
    doctor.run(project.params)
    assert "none yet; in digits" in capsys.readouterr().out
    Path("digits").rmdir()
    with pytest.raises(PipelineError, match="see data"):
        doctor.run(project.params)


def test_a_gpu_that_cannot_be_used_is_named_and_fails_where_it_is_wanted(
    project: TinyProject, capsys: pytest.CaptureFixture[str], monkeypatch: Patch
) -> None:
    monkeypatch.setattr(doctor, "find_problem", lambda: Problem("an old driver", "update it"))
    doctor.run(project.params)
    row = next(line for line in capsys.readouterr().out.splitlines() if "│ device" in line)
    assert [cell.strip() for cell in row.split("│")[2:4]] == ["cpu: an old driver", "update it"]
    change(project, "train", device="cuda")
    with pytest.raises(PipelineError, match="see device"):
        doctor.run(project.params)


@pytest.mark.parametrize("what", FAILURES)
def test_what_make_repro_would_fail_of_is_named(
    project: TinyProject, what: str, capsys: pytest.CaptureFixture[str], monkeypatch: Patch
) -> None:
    FAILURES[what](project, monkeypatch)
    with pytest.raises(PipelineError, match=f"see .*{what}"):
        doctor.run(project.params)
    assert what in found(capsys.readouterr().out)
    assert Path(".dvc").exists() or what == "dvc"
