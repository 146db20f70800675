"""What git reports, whatever the user's settings, in a subfolder of a repository, and where it fails."""

import os
import shutil
from pathlib import Path

import pytest

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.history import git, revisions
from mnist_pipeline.history.revisions import Revision
from mnist_pipeline.tracking import origin
from tiny_project import run_git

LOCK = "stages: {train@mlp: {outs: [{path: models/mlp/weights.safetensors, md5: %s}]}}\n"
SETTINGS = """
[log] showSignature = true
[log] date = iso
[color] ui = always
[core] quotePath = true
[core] abbrev = 5
[status] showUntrackedFiles = no
[status] branch = true
[status] short = true
[i18n] logOutputEncoding = latin1
[format] pretty = full
"""


@pytest.fixture(params=[("", ""), ("ml/dígits", SETTINGS)], ids=["plain", "subfolder with settings"])
def commits(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two commits that change the lock file of a project in a folder, and a third that does not."""
    folder, settings = request.param
    project = tmp_path / "repository" / folder
    project.mkdir(parents=True)
    run_git("init", "--quiet", "--initial-branch", "main", folder=tmp_path / "repository")
    with (tmp_path / "repository/.git/config").open("a") as file:
        file.write(settings)
    monkeypatch.chdir(project)
    Path(".gitignore").write_text("/data\n")
    commits = []
    for content in ("a", "b"):
        Path("dvc.lock").write_text(LOCK % (content * 32))
        Path("code.py").write_text(content)
        commits.append(commit(f"größer {content}"))
    (tmp_path / "repository/other.txt").write_text("of a colleague")
    return [*commits, commit("Elsewhere")]


def commit(message: str) -> str:
    run_git("add", "--all", ":/")
    run_git("commit", "--quiet", "--message", message)
    return run_git("rev-parse", "HEAD")


def test_commits_files_and_tags_are_found(commits: list[str]) -> None:
    run_git("tag", "v1", commits[1])
    assert git.find_commit("HEAD") == commits[2] == git.find_commit(commits[2][:9])
    assert git.find_commit("nothing") is None
    assert git.commits_of(Path("dvc.lock")) == commits[1::-1]
    assert git.first_commit_with("a" * 32, Path("dvc.lock")) == commits[0]
    assert git.first_commit_with("c" * 32, Path("dvc.lock")) is None
    assert git.files_at([commits[0], "v1", "HEAD"], Path("code.py")) == ["a", "b", "b"]
    assert git.files_at(["HEAD"], Path("other.py")) == [None]
    assert git.tags_with(commits[0]) == ["v1"]
    assert git.subject(commits[0]) == f"{commits[0][:7]} größer a"
    assert [revision.commit for revision in revisions.all_commits()] == commits[1::-1]
    assert revisions.at("v1").lock["train@mlp"].outputs == {"models/mlp/weights.safetensors": "b" * 32}


def test_changed_and_new_files_of_the_project_count(commits: list[str]) -> None:
    Path("data").mkdir()
    Path("data/ignored").touch()
    (Path.cwd().parent / "a colleague's").mkdir()
    assert git.changed_files() == []
    for name in ("code.py", "new dígit.py"):
        Path(name).write_text("c")
        assert [Path(file).name for file in git.changed_files()] == [name]
        assert git.changed_files([name]) == []
        assert origin.of_work_tree()["git.dirty"] == "true"
        run_git("stash", "--include-untracked")
    assert git.changed_files(between=(commits[0], commits[1]), excluded=["dvc.lock"])[0].endswith("code.py")


def test_what_dvc_writes_while_it_runs_is_not_dirty(commits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("dvc.lock").write_text("stages: {}")
    Path("models").mkdir()
    Path("models/new").touch()
    assert origin.of_work_tree() == {**named(commits[2]), "git.dirty": "false"}
    monkeypatch.setenv("DVC_EXP_NAME", "bold-idea")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123abc")
    assert {"dvc.exp_name": "bold-idea", "dvc.baseline_rev": "0123abc"}.items() <= origin.of_work_tree().items()


def named(commit: str) -> dict[str, str]:
    return {"git.commit": commit, "mlflow.source.git.commit": commit}


def test_a_result_is_of_the_oldest_commit_that_records_it(commits: list[str]) -> None:
    revision = Revision(commits[1], {})
    assert origin.of(revision, "a" * 32) == {**named(commits[0]), "git.dirty": "false"}
    assert origin.of(revision, "c" * 32) == {**named(commits[1]), "git.dirty": "false"}
    experiment = Revision(commits[1], {}, "bold-idea", commits[0])
    expected = {**named(commits[0]), "git.dirty": "true", "dvc.exp_name": "bold-idea", "dvc.baseline_rev": commits[0]}
    assert origin.of(experiment, "c" * 32) == expected
    Path("code.py").write_text("c")
    assert origin.of(Revision(None, {}), "c" * 32) == {**named(commits[2]), "git.dirty": "true"}


def test_a_shallow_clone_does_not_know_where_a_result_comes_from(
    commits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = Path.cwd().relative_to(tmp_path / "repository")
    address = f"file://{tmp_path / 'repository'}"
    run_git("clone", "--quiet", "--depth", "1", address, str(tmp_path / "clone"))
    assert git.cut_off_commits() == set()
    monkeypatch.chdir(tmp_path / "clone" / within)
    assert git.cut_off_commits() == {commits[2]}
    assert origin.of(Revision(commits[2], {}), "b" * 32) == {}
    run_git("fetch", "--quiet", "--unshallow")
    assert origin.of(Revision(commits[2], {}), "b" * 32)["git.commit"] == commits[1]


def test_a_hook_of_another_repository_does_not_lead_astray(
    commits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert (git.find_commit("HEAD"), git.changed_files()) == (commits[2], [])


def test_a_damaged_index_is_reported_and_nothing_is_made_up(
    commits: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "repository/.git/index").write_bytes(b"damaged")
    with pytest.raises(PipelineError, match="git status"):
        git.changed_files()
    assert origin.of_work_tree() == named(commits[2])
    assert "index" in capsys.readouterr().err


def test_a_damaged_history_is_reported(commits: list[str], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "repository/.git/objects" / commits[1][:2])
    with pytest.raises(PipelineError, match="git rev-list"):
        revisions.all_commits()
    with pytest.raises(PipelineError, match="git rev-list"):
        origin.of(Revision(None, {}), "a" * 32)


def test_the_refusal_of_another_users_repository_is_reported(
    commits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "bin/git"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho fatal: detected dubious ownership in repository at here >&2\nexit 128\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(refusing.parent), prepend=os.pathsep)
    with pytest.raises(PipelineError, match="dubious ownership"):
        revisions.all_commits()
    assert origin.of_work_tree() == {}


def test_without_a_commit_a_repository_or_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_git("init", "--quiet")
    assert (git.find_commit("HEAD"), revisions.all_commits(), origin.of_work_tree()) == (None, [], {})
    shutil.rmtree(".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for path in (os.environ["PATH"], ""):
        monkeypatch.setenv("PATH", path)
        assert (origin.of_work_tree(), origin.of(Revision(None, {}), "a" * 32)) == ({}, {})
        with pytest.raises(git.NoRepositoryError):
            revisions.all_commits()


def test_a_damaged_lock_file_of_one_commit_is_left_out(commits: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("dvc.lock").write_bytes(b"\xff[")
    damaged = commit("Damaged")
    assert [revision.commit for revision in revisions.all_commits()] == commits[1::-1]
    assert damaged[:7] in capsys.readouterr().err
    with pytest.raises(PipelineError, match=damaged[:7]):
        revisions.at("HEAD")
    with pytest.raises(PipelineError, match=r"dvc\.lock"):
        revisions.work_tree()
