"""What one clone pushes to a real S3 server, and through a real SSH server, another pulls."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import services
from mnist_pipeline.formats import file_digest
from pages import WITHOUT_INSTALLING, commands, inline_commands, python_blocks
from projects import Project
from servers import free_port, running
from services import BUCKET, ObjectStore, SecureShell
from tracked_content import runs_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/artifacts.md"
PULL, PUBLISH = (("make", WITHOUT_INSTALLING, target) for target in ("pull", "publish"))
REPOSITORY = "https://github.com/you/mnist-pipeline"
NETWORK = "models/lenet/model.onnx"


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


def move_to(project: Project, address: str, *settings: str) -> None:
    """Runs the command with which the page moves the remote to the kind of store that `address` is on."""
    scheme = address.partition("://")[0]
    (command,) = [line for line in inline_commands(PAGE, "dvc remote add") if f"{scheme}://" in line]
    project.run(*shlex.split(command)[:-1], address)
    project.commit(f"The remote is on {scheme}")
    if settings:
        project.run("dvc", "remote", "modify", "--local", "storage", *settings)


def push_and_pull_elsewhere(project: Project, path: Path, remote: Path, *settings: str) -> None:
    """Pushes all; another clone pulls it, has the same model, and nothing to run."""
    project.run("dvc", "push")
    assert len(list((remote / "files/md5").glob("*/*"))) > 10
    other = project.clone(path)
    if settings:
        other.run("dvc", "remote", "modify", "--local", "storage", *settings)
    other.run("dvc", "pull")
    assert "Running stage" not in other.run("dvc", "repro")
    assert other.run("git", "status", "--porcelain") == ""
    assert f"md5: {file_digest(other.path / NETWORK, 'md5')}" in other.read("dvc.lock")


def test_s3(clone: Project, object_store: ObjectStore, tmp_path: Path) -> None:
    clone = replace(clone, extra={**clone.extra, **object_store.credentials()})
    move_to(clone, f"s3://{BUCKET}/dvc")
    intruder = replace(clone, extra={**clone.extra, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert "403" in intruder.run("dvc", "push", code=255)
    assert not (object_store.folder / BUCKET / "dvc").exists()
    push_and_pull_elsewhere(clone, tmp_path / "other", object_store.folder / BUCKET / "dvc")


def test_ssh(clone: Project, secure_shell: SecureShell, tmp_path: Path) -> None:
    move_to(clone, secure_shell.address, "keyfile", str(secure_shell.folder / "host_key"))
    assert "Permission denied" in clone.run("dvc", "push", code=255)
    assert not (secure_shell.folder / "storage").exists()
    key = ("keyfile", str(secure_shell.key))
    clone.run("dvc", "remote", "modify", "--local", "storage", *key)
    push_and_pull_elsewhere(clone, tmp_path / "other", secure_shell.folder / "storage", *key)


def test_one_command_moves_the_remote_to_each_kind_of_store(clone: Project) -> None:
    kinds = []
    for command in inline_commands(PAGE, "dvc remote add"):
        clone.run(*shlex.split(command))
        (line,) = (line for line in clone.run("dvc", "remote", "list").splitlines() if line.endswith("(default)"))
        assert line.split() == ["storage", shlex.split(command)[-1], "(default)"]
        kinds.append(line.split()[1].partition("://")[0])
    assert kinds == ["s3", "ssh", "gs", "azure"]


def test_what_is_published_comes_with_every_clone(reproduced: Project, tmp_path: Path) -> None:
    """Into an empty home, without a network; nothing else is needed to predict, to trace and to look at the runs."""
    reproduced.run(*PUBLISH)
    reproduced.commit("Its results are published")
    alone = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1")
    clone = replace(reproduced.clone(tmp_path / "home/clone"), extra=alone)
    assert "lenet against mlp" in clone.run(*PULL)
    assert {run.data.params["model"] for run in runs_of(clone.path)} == {"lenet", "mlp"}
    assert clone.read("mlruns/synced")  # nothing that a reader could do is left
    assert "seven.png" in clone.cli("predict", str(ROOT / "docs/images/seven.png"))
    (lineage,) = json.loads(clone.cli("lineage", NETWORK, "--json"))
    commit = clone.run("git", "rev-parse", "HEAD~1").strip()
    assert (lineage["commit"], len(lineage["runs"])) == (commit, 1)
    assert re.findall(r"Running stage '(\S+)'", clone.run("dvc", "repro")) == ["download"]

    params = clone.params()
    params["train"]["mlp"]["epochs"] = 1
    clone.write_params(params)
    clone.run("dvc", "repro", "train@mlp")
    clone.commit("Not published")
    other = clone.clone(tmp_path / "other")
    printed = other.run(*PULL, code=2)
    published = clone.run("git", "rev-parse", "--short", "HEAD~1").strip()
    assert f"git checkout {published}, then make pull" in printed
    other.run("git", "checkout", "--quiet", published)
    other.run(*PULL)


def test_every_way_of_pulling_gives_the_same_bytes(reproduced: Project, tmp_path: Path) -> None:
    """The last test of this module: nothing is left in the cache, so that all comes from the remote."""
    _, push, pull, repro, tag, by_version, by_tag = commands(PAGE)
    (read,) = python_blocks(PAGE)
    web = f"http://127.0.0.1:{free_port()}"
    reproduced.run("dvc", "remote", "modify", "web", "url", f"{web}/published")
    reproduced.run(*PUBLISH)
    reproduced.commit("Published, also on the web")
    for command in (push, tag):
        reproduced.run(*shlex.split(command))
    assert (Path(reproduced.environment()["HOME"]) / ".local/share/mnist-pipeline/dvc/files").is_dir()
    reproduced.run("rm", "-r", ".dvc/cache")
    clone = reproduced.clone(tmp_path / "clone")
    for command in (pull, repro):
        assert "Running stage" not in clone.run(*shlex.split(command))
    assert reproduced.run("git", "cat-file", "-t", "lenet@v1.0.0").strip() == "tag"
    commit = reproduced.run("git", "rev-parse", "HEAD").strip()
    reproduced.run("git", "rm", "--quiet", "dvc.lock")
    reproduced.commit("A newer commit that has no result")

    keep = "\nimport pathlib\npathlib.Path('by-python.onnx').write_bytes(network)"
    server, log = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", web.rpartition(":")[2]], tmp_path / "log"
    with running(server, web, folder=reproduced.path, environment=reproduced.environment(), log=log):
        for command in (by_version, by_tag):
            clone.run(*shlex.split(command.replace(REPOSITORY, str(reproduced.path))))
        clone.run("python", "-c", read.replace(REPOSITORY, str(reproduced.path)) + keep)
    assert log.read_text().count("GET /published/files/md5/") >= 3
    clone.run("dvc", "artifacts", "get", str(reproduced.path), "lenet", "--out", "by-name.onnx")
    clone.run("dvc", "get", str(reproduced.path), NETWORK, "--rev", commit, "--out", "by-commit.onnx")
    clone.run("git", "fetch", "--quiet", "--tags")
    clone.run("git", "checkout", "--quiet", "lenet@v1.0.0")
    clone.run("dvc", "pull")

    pulled = [NETWORK, *(f"by-{way}.onnx" for way in ("version", "tag", "name", "commit", "python"))]
    expected = (reproduced.path / NETWORK).read_bytes()
    assert [name for name in pulled if (clone.path / name).read_bytes() != expected] == []
