"""The tags that tie a row to its commit."""

import subprocess
from pathlib import Path

import pytest

from mnist_pipeline.tracking import origin


def git(*arguments: str) -> str:
    who = ["-c", "user.name=tester", "-c", "user.email=tester@example.com"]
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tracked) -> None:
    git("init", "--quiet")
    Path(".gitignore").write_text("/data\n/mlruns\n")
    Path("code.py").write_text("one")
    git("add", ".gitignore", "code.py")
    git("commit", "--quiet", "--message", "first")


def test_the_commit_is_named(repository: None) -> None:
    tags = origin.of_work_tree()
    assert tags["git.commit"] == tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    assert tags["git.dirty"] == "false"


@pytest.mark.parametrize("name", ["code.py", "new.py", "deep/new.py"])
def test_a_changed_or_new_file_is_dirty(repository: None, name: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("two")
    assert origin.of_work_tree()["git.dirty"] == "true"


def test_what_dvc_writes_while_it_runs_is_not_dirty(repository: None) -> None:
    Path("dvc.lock").write_text("stages: {}")
    Path("models").mkdir()
    Path("models/.gitignore").write_text("/lenet")
    assert origin.of_work_tree()["git.dirty"] == "false"


def test_without_a_repository_there_is_no_commit(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tracked.path.parent))
    assert not {"git.commit", "git.dirty"} & origin.of_work_tree().keys()


def test_without_a_commit_there_is_no_commit(tracked) -> None:
    git("init", "--quiet")
    assert "git.commit" not in origin.of_work_tree()


def test_without_git_there_is_no_commit(repository: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "git.commit" not in origin.of_work_tree()


def test_a_dvc_experiment_is_named(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "dvc.exp_name" not in origin.of_work_tree()
    monkeypatch.setenv("DVC_EXP_NAME", "bold-idea")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123abc")
    tags = origin.of_work_tree()
    assert (tags["dvc.exp_name"], tags["dvc.baseline_rev"]) == ("bold-idea", "0123abc")
