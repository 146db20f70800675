"""Versions and champions as git's tags record them, and what DVC cannot do ends in one line."""

from pathlib import Path
from unittest import mock

import gto.api
import pytest

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.history.tags import ModelTags, assign_champion, next_version, read_tags, register_version
from tiny_project import run_git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with four commits, of which the last three are versions of a model."""
    monkeypatch.chdir(tmp_path)
    run_git("init", "--quiet", "--initial-branch", "main")
    run_git("commit", "--quiet", "--allow-empty", "--message", "Without a version")
    for version in ("v1.9.0", "v1.10.0", "v2.0.0"):
        run_git("commit", "--quiet", "--allow-empty", "--message", version)
        register_version("mlp", version, "HEAD", "a message")
    return tmp_path


def test_versions_are_ordered_by_number_and_champions_by_their_counter(repository: Path) -> None:
    assert read_tags()["mlp"].champion is None
    for number in (9, 10, 11, 0) * 3:
        with mock.patch("time.sleep"):  # within one second
            assign_champion("mlp", f"mlp@v1.{number}.0" if number in (9, 10) else "mlp@v2.0.0", read_tags()["mlp"])
    tags = read_tags()["mlp"]
    assert list(tags.versions) == ["mlp@v1.9.0", "mlp@v1.10.0", "mlp@v2.0.0"]
    assert tags.versions["mlp@v2.0.0"] == run_git("rev-parse", "HEAD")
    assert (len(tags.champions), tags.champion, tags.previous) == (12, "mlp@v2.0.0", "mlp@v1.10.0")


def test_what_gto_takes_back_does_not_count(repository: Path) -> None:
    for version in ("v1.9.0", "v1.10.0", "v2.0.0"):
        assign_champion("mlp", f"mlp@{version}", read_tags()["mlp"])
    assert gto.api.show(".")["mlp"]["stage"] == {"champion": "v2.0.0"}  # it orders by whole seconds
    gto.api.unassign(".", "mlp", version="v2.0.0", stage="champion")
    assert read_tags()["mlp"].champion == "mlp@v1.10.0"
    gto.api.deregister(".", "mlp", version="v1.10.0")
    tags = read_tags()["mlp"]
    assert (tags.champion, list(tags.versions)) == ("mlp@v1.9.0", ["mlp@v1.9.0", "mlp@v2.0.0"])


def test_other_tags_do_not_matter(repository: Path) -> None:
    before = read_tags()
    for name in ("release", "mlp@latest", "a/b=mlp@v3.0.0", "other@v1.0.0!", "mlp@v5.0.0"):
        run_git("tag", name)
    run_git("tag", "--annotate", "mlp@v4.0.0", "HEAD^{tree}", "--message", "of no commit")
    run_git("tag", "--annotate", "mlp#staging#1", "--message", "another stage")
    run_git("tag", "--annotate", "a/b=mlp@v6.0.0", "--message", "another project's")
    assert (read_tags()["mlp"].versions, read_tags()["mlp"].champions) == (before["mlp"].versions, [])


def test_the_next_version() -> None:
    assert next_version([], "minor") == "v1.0.0"
    assert next_version(["mlp@v1.9.3", "mlp@v1.10.0", "odd"], "minor") == "v1.11.0"
    assert next_version(["mlp@v1.9.3"], "patch") == "v1.9.4"
    assert next_version(["ml/d=mlp@v1.9.3"], "major") == "v2.0.0"


def test_an_error_of_gto_is_one_line(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError, match=r"mlp@v3\.0\.0"):
        register_version("mlp", "v3.0.0", "HEAD", "the commit has one")
    Path("with space").mkdir()
    monkeypatch.chdir("with space")
    with pytest.raises(PipelineError, match="mlp#champion"):
        assign_champion("mlp", "mlp@v1.0.0", ModelTags({"mlp@v1.0.0": "HEAD"}))


def test_what_dvc_cannot_do_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=str(tmp_path)):
        Cache()
    run_git("init", "--quiet")
    Path(".dvc").mkdir()
    Path(".dvc/config").touch()
    Path("dvc.yaml").write_text("stages: [")
    cache = Cache()
    for use in (lambda: cache.stale(["train"]), lambda: cache.fetch({"file": "0" * 32})):
        with pytest.raises(PipelineError, match=r"dvc status|DVC remote"):
            use()
    listing = Path(".dvc/cache/files/md5/00/" + "0" * 30 + ".dir")
    listing.parent.mkdir(parents=True)
    listing.write_text("[")
    with pytest.raises(PipelineError, match="damaged"):
        cache.missing({"folder": "0" * 32 + ".dir"})
