"""What one clone pushes, another pulls, by whatever name; with the commands of docs/artifacts.md."""

import shlex
from pathlib import Path

import pytest

from pages import commands, inline_commands, python_blocks
from projects import Project

PAGE = Path(__file__).parents[2] / "docs/artifacts.md"
REPOSITORY = "https://github.com/you/mnist-pipeline"
NETWORK = "models/lenet/model.onnx"


def run(project: Project, command: str, repository: Path | None = None) -> str:
    return project.run(*shlex.split(command.replace(REPOSITORY, str(repository))))


@pytest.fixture(scope="module")
def pushed(reproduced: Project) -> Project:
    """A project whose results are in the remote, and no more in its cache: none can come from there."""
    push, *_ = commands(PAGE)
    reproduced.commit("The first result")
    run(reproduced, push)
    assert Path(reproduced.environment()["HOME"]) != Path.home()
    assert (Path(reproduced.environment()["HOME"]) / ".local/share/mnist-pipeline/dvc/files").is_dir()
    reproduced.run("rm", "-r", ".dvc/cache")
    return reproduced


@pytest.fixture
def clone(pushed: Project, tmp_path: Path) -> Project:
    return pushed.clone(tmp_path / "clone")


def test_another_clone_pulls_everything_and_has_nothing_to_run(pushed: Project, clone: Project) -> None:
    _, pull, repro, *_ = commands(PAGE)
    run(clone, pull)
    assert "Running stage" not in run(clone, repro)
    assert clone.run("git", "status", "--porcelain") == ""
    assert (clone.path / NETWORK).read_bytes() == (pushed.path / NETWORK).read_bytes()


def test_every_way_of_pulling_gives_the_same_bytes(pushed: Project, clone: Project) -> None:
    *_, tag, by_version, by_tag = commands(PAGE)
    (read,) = python_blocks(PAGE)
    run(pushed, tag)
    assert pushed.run("git", "cat-file", "-t", "lenet@v1.0.0").strip() == "tag"
    commit = pushed.run("git", "rev-parse", "HEAD").strip()
    pushed.run("git", "rm", "--quiet", "dvc.lock")
    pushed.commit("A newer commit that has no result")

    run(clone, by_version, pushed.path)
    run(clone, by_tag, pushed.path)
    clone.run("dvc", "artifacts", "get", str(pushed.path), "lenet", "--out", "by-name.onnx")
    clone.run("dvc", "get", str(pushed.path), NETWORK, "--rev", commit, "--out", "by-commit.onnx")
    keep = "\nimport pathlib\npathlib.Path('by-python.onnx').write_bytes(network)"
    clone.run("python", "-c", read.replace(REPOSITORY, str(pushed.path)) + keep)
    clone.run("git", "fetch", "--quiet", "--tags")
    clone.run("git", "checkout", "--quiet", "lenet@v1.0.0")
    clone.run("dvc", "pull")

    pulled = [NETWORK, *(f"by-{way}.onnx" for way in ("version", "tag", "name", "commit", "python"))]
    assert {(clone.path / name).read_bytes() for name in pulled} == {(pushed.path / NETWORK).read_bytes()}


def test_one_command_moves_the_remote_to_each_kind_of_store(clone: Project) -> None:
    kinds = []
    for command in inline_commands(PAGE, "dvc remote add"):
        run(clone, command)
        (line,) = clone.run("dvc", "remote", "list").splitlines()
        assert line.split() == ["storage", shlex.split(command)[-1], "(default)"]
        kinds.append(line.split()[1].partition("://")[0])
    assert kinds == ["s3", "ssh", "gs", "azure"]
