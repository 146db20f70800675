"""What one clone pushes to a real S3 server, and through a real SSH server, another pulls."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import services
from pages import inline_commands
from projects import Project
from services import BUCKET, ObjectStore, SecureShell

PAGE = Path(__file__).parents[2] / "docs/artifacts.md"


@pytest.fixture(scope="module")
def secure_shell() -> Iterator[SecureShell]:
    with services.secure_shell() as running:
        yield running


@pytest.fixture(scope="module")
def reproduced(reproduced: Project) -> Project:
    """A project with all its results, pushed nowhere yet; the tests clone it."""
    reproduced.commit("The first result")
    return reproduced


@pytest.fixture
def clone(reproduced: Project, tmp_path: Path) -> Project:
    """A clone that has the results in its cache."""
    project = reproduced.clone(tmp_path / "clone")
    project.run("dvc", "cache", "dir", "--local", str(reproduced.path / ".dvc/cache"))
    return project


def move_to(project: Project, address: str) -> None:
    """Runs the command with which the page moves the remote to the kind of store that `address` is on."""
    scheme = address.partition("://")[0]
    (command,) = [line for line in inline_commands(PAGE, "dvc remote add") if f"{scheme}://" in line]
    *words, _ = shlex.split(command)
    project.run(*words, address)
    project.commit(f"The remote is on {scheme}")


def pulled_elsewhere(project: Project, path: Path, *settings: str) -> Project:
    """Another clone, which pulls everything and then has nothing to run."""
    other = project.clone(path)
    if settings:
        other.run("dvc", "remote", "modify", "--local", "storage", *settings)
    other.run("dvc", "pull")
    printed = other.run("dvc", "repro")
    assert "Running stage" not in printed
    assert "Data and pipelines are up to date." in printed
    assert other.run("git", "status", "--porcelain") == ""
    return other


def same_model(one: Project, other: Project) -> bool:
    network = "models/mlp/model.onnx"
    return (one.path / network).read_bytes() == (other.path / network).read_bytes()


def test_s3(reproduced: Project, clone: Project, object_store: ObjectStore, tmp_path: Path) -> None:
    clone = replace(clone, extra={**clone.extra, **object_store.credentials()})
    move_to(clone, f"s3://{BUCKET}/dvc")
    clone.run("dvc", "push")
    assert len(list((object_store.folder / BUCKET / "dvc/files/md5").glob("*/*"))) > 10
    assert same_model(pulled_elsewhere(clone, tmp_path / "other"), reproduced)


def test_ssh(reproduced: Project, clone: Project, secure_shell: SecureShell, tmp_path: Path) -> None:
    move_to(clone, secure_shell.address)
    clone.run("dvc", "remote", "modify", "--local", "storage", "keyfile", str(secure_shell.key))
    clone.run("dvc", "push")
    assert len(list((secure_shell.folder / "storage/files/md5").glob("*/*"))) > 10
    assert same_model(pulled_elsewhere(clone, tmp_path / "other", "keyfile", str(secure_shell.key)), reproduced)


def test_a_wrong_s3_secret_pushes_nothing_and_pulls_nothing(
    clone: Project, object_store: ObjectStore, tmp_path: Path
) -> None:
    place = object_store.folder / BUCKET / "refused"
    clone = replace(clone, extra={**clone.extra, **object_store.credentials(), "AWS_SECRET_ACCESS_KEY": "wrong"})
    move_to(clone, f"s3://{BUCKET}/refused")
    assert "403" in clone.run("dvc", "push", code=255)
    assert not place.exists()

    other = clone.clone(tmp_path / "other")
    printed = other.run("dvc", "pull", code=1)
    assert "403" in printed
    assert "failed to pull" in printed
    assert not (other.path / "models/mlp/model.onnx").exists()


def test_a_wrong_ssh_key_pushes_nothing(clone: Project, secure_shell: SecureShell) -> None:
    move_to(clone, secure_shell.address.replace("/storage", "/refused"))
    clone.run("dvc", "remote", "modify", "--local", "storage", "keyfile", str(secure_shell.folder / "host_key"))
    assert "Permission denied" in clone.run("dvc", "push", code=255)
    assert not (secure_shell.folder / "refused").exists()
