"""`promote` and `rollback`: what may be champion, and what git and MLflow record of it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import gto.api
import numpy as np
import onnx
import pytest
from mlflow import MlflowClient

from mnist_pipeline import paths
from mnist_pipeline.commands import promote
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.formats import file_digest
from mnist_pipeline.history.cache import Cache
from mnist_pipeline.history.tags import assign_champion, read_tags
from mnist_pipeline.tracking.onnx_model import log_onnx_model
from mnist_pipeline.tracking.registry import rebuild_registry
from tiny_project import DETAILS, MODEL, ONNX, WEIGHTS, TinyProject, matrix, network, run_git

FIRST, SECOND = "mlp@v1.0.0", "mlp@v1.1.0"


def md5s(project: TinyProject) -> tuple[str, str]:
    """Those of the first and of the second model of the template."""
    (aliases, _) = project.registry()
    return aliases.get("champion", ""), file_digest(ONNX, "md5")


def check_refused(project: TinyProject, culprit: str, command: Callable[[], None] | None = None) -> None:
    before = project.registry(), run_git("tag")
    with pytest.raises(PipelineError, match=re.escape(culprit)):
        (command or project.promote)()
    assert (project.registry(), run_git("tag")) == before


def test_a_good_model_becomes_champion_in_git_and_in_mlflow(project: TinyProject) -> None:
    first, second = md5s(project)
    project.promote()
    assert project.registry() == ({"champion": second, "previous": first}, [(FIRST, first), (SECOND, second)])
    assert run_git("rev-parse", f"{SECOND}^{{commit}}") == run_git("rev-parse", "HEAD")
    assert gto.api.show(".")[MODEL]["version"] == "v1.1.0"
    assert gto.api.show(".")[MODEL]["stage"] == {"champion": "v1.1.0"}
    project.promote()
    assert run_git("tag").split() == ["mlp#champion#1", "mlp#champion#2", FIRST, SECOND]


def test_rollback_goes_back_and_forth(project: TinyProject) -> None:
    first, second = md5s(project)
    project.promote()
    for champion, previous, version in ((first, second, "v1.0.0"), (second, first, "v1.1.0")):
        project.roll_back()
        assert project.registry()[0] == {"champion": champion, "previous": previous}
        assert gto.api.show(".")[MODEL]["stage"] == {"champion": version}


def test_without_a_previous_champion_there_is_no_way_back(project: TinyProject) -> None:
    check_refused(project, "no previous champion", project.roll_back)


@pytest.mark.parametrize("roll_back", [False, True])
def test_a_lost_store_is_rebuilt_from_the_tags(project: TinyProject, roll_back: bool) -> None:
    project.promote()
    if roll_back:
        project.roll_back()
    before = project.registry()
    project.lose_the_store()
    for _ in range(2):
        rebuild_registry(project.params.tracking.experiment)
        assert project.registry() == before
    version = project.store.client.get_model_version_by_alias(MODEL, "champion")
    assert version.description == paths.model_card(MODEL).read_text() or roll_back
    project.show()  # as sync does: its run takes the model that the registry holds
    assert len(project.store.client.search_logged_models([project.store.models])) == 2


def test_what_only_the_remote_has_is_fetched_and_what_nobody_has_is_left_out(project: TinyProject) -> None:
    first, _ = md5s(project)
    project.promote()
    cache, kept = Path(".dvc/cache/files/md5"), Path("../remote/files/md5")
    kept.parent.mkdir(parents=True)
    shutil.move(cache, kept)
    shutil.rmtree(kept / first[:2])
    project.lose_the_store()
    rebuild_registry(project.params.tracking.experiment)
    aliases, versions = project.registry()
    assert ([tag for tag, _ in versions], list(aliases)) == ([SECOND], ["champion"])


def test_what_mlflow_has_is_left_as_it_is(project: TinyProject) -> None:
    """Another clone may have changed it, whose tags are not here yet."""
    project.promote()
    project.store.client.set_registered_model_alias(MODEL, "champion", "1")
    before = project.registry()
    rebuild_registry(project.params.tracking.experiment)
    assert project.registry() == before


def test_newer_tags_move_the_aliases_and_older_ones_do_not(project: TinyProject) -> None:
    first, second = md5s(project)
    project.promote()
    assign_champion(MODEL, FIRST, read_tags()[MODEL])  # as another clone's, fetched
    rebuild_registry(project.params.tracking.experiment)
    assert project.registry()[0] == {"champion": first, "previous": second}
    run_git("tag", "--delete", "mlp#champion#3")  # as a clone of the same server that has not fetched it
    rebuild_registry(project.params.tracking.experiment)
    assert project.registry()[0] == {"champion": first, "previous": second}


def test_a_version_that_was_registered_by_hand_gets_no_alias(project: TinyProject) -> None:
    run_git("tag", "--delete", "mlp#champion#1")  # no champion by the tags
    client = project.store.client
    client.delete_registered_model_alias(MODEL, "champion")
    client.create_model_version(MODEL, client.get_model_version(MODEL, "1").source)
    rebuild_registry(project.params.tracking.experiment)
    assert client.get_registered_model(MODEL).aliases == {}


def test_tags_of_promotions_before_stages_count(project: TinyProject) -> None:
    first, second = md5s(project)
    commit = run_git("rev-parse", f"{FIRST}^{{commit}}")
    run_git("tag", "--delete", FIRST, "mlp#champion#1")
    for tag, tagged in ((FIRST, commit), (SECOND, "HEAD")):
        run_git("tag", "--annotate", tag, tagged, "--message", f"mlp, champion: {ONNX} 0123")
    run_git("tag", "--annotate", "mlp@v1.2.0", "HEAD~1", "--message", "by hand")
    run_git("tag", "mlp@v9.0.0")  # lightweight
    project.lose_the_store()
    rebuild_registry(project.params.tracking.experiment)
    aliases, versions = project.registry()
    assert aliases == {"champion": second, "previous": first}
    assert [tag for tag, _ in versions] == [FIRST, SECOND, "mlp@v1.2.0"]


INTERRUPTED = [
    (promote, "register_version", 1),
    (promote, "assign_champion", 1),
    (MlflowClient, "set_logged_model_tags", 1),
    (MlflowClient, "create_model_version", 1),
    (MlflowClient, "set_registered_model_alias", 1),
    (MlflowClient, "set_registered_model_alias", 2),
]


@pytest.mark.parametrize(("owner", "name", "calls"), INTERRUPTED)
def test_a_promotion_that_was_killed_is_finished_by_the_next(
    project: TinyProject, owner: type, name: str, calls: int
) -> None:
    first, second = md5s(project)
    kill(owner, name, calls, project.promote)
    project.promote()
    assert project.registry() == ({"champion": second, "previous": first}, [(FIRST, first), (SECOND, second)])
    assert run_git("tag").split() == ["mlp#champion#1", "mlp#champion#2", FIRST, SECOND]


@pytest.mark.parametrize(("owner", "name", "calls"), [INTERRUPTED[1], INTERRUPTED[4]])
def test_a_rollback_that_was_killed_is_finished_by_the_next(
    project: TinyProject, owner: type, name: str, calls: int
) -> None:
    first, second = md5s(project)
    project.promote()
    kill(owner, name, calls, project.roll_back)
    project.roll_back()
    assert project.registry()[0] == {"champion": first, "previous": second}
    assert gto.api.show(".")[MODEL]["stage"] == {"champion": "v1.0.0"}


def kill(owner: type, name: str, calls: int, command: Callable[[], None]) -> None:
    """Ends a command right after the nth call of a function."""
    original, count = getattr(owner, name), 0

    def deadly(*arguments: object, **named: object) -> object:
        nonlocal count
        count, result = count + 1, original(*arguments, **named)
        if count == calls:
            raise KeyboardInterrupt
        return result

    with mock.patch.object(owner, name, deadly), pytest.raises(KeyboardInterrupt):
        command()


def test_a_tag_that_cannot_be_made_leaves_mlflow_as_it_was(project: TinyProject) -> None:
    run_git("tag", SECOND)  # lightweight, so no version, but its name is taken
    check_refused(project, SECOND)


def test_two_versions_of_one_commit_are_refused(project: TinyProject) -> None:
    for tag in (SECOND, "mlp@v1.2.0"):
        run_git("tag", "--annotate", tag, "--message", "by hand")
    before = run_git("tag")
    with pytest.raises(PipelineError, match=f"{SECOND} and mlp@v1.2.0"):
        project.promote()
    assert (run_git("tag"), project.registry()[0].keys()) == (before, {"champion"})


def test_a_version_whose_tag_was_moved_is_another(project: TinyProject) -> None:
    first, second = md5s(project)
    run_git("tag", "--delete", FIRST, "mlp#champion#1")
    run_git("tag", "--annotate", FIRST, "--message", "by hand")
    project.promote()
    expected = {"champion": second, "previous": first}, sorted([(FIRST, first), (FIRST, second)])
    assert project.registry() == expected


def test_a_model_that_was_champion_before_keeps_its_version(project: TinyProject) -> None:
    first, second = md5s(project)
    project.promote()
    run_git("checkout", "--quiet", FIRST)
    project.write(matrix(1))
    project.promote()
    assert project.registry() == ({"champion": first, "previous": second}, [(FIRST, first), (SECOND, second)])


def test_in_a_subfolder_of_a_repository_only_the_own_files_and_tags_count(
    start_project: Callable[[Path], TinyProject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_git("init", "--quiet", "repository")
    project = start_project(tmp_path / "repository/ml/d")
    md5 = project.train(matrix(1))
    Path("../../other.txt").write_text("of a colleague")
    run_git("tag", "--annotate", "mlp@v7.0.0", "--message", "another project's")
    project.promote()
    assert run_git("tag").split() == ["ml/d=mlp#champion#1", "ml/d=mlp@v1.0.0", "mlp@v7.0.0"]
    assert gto.api.show(".")["ml/d:mlp"]["stage"] == {"champion": "v1.0.0"}
    before = project.registry()
    assert before == ({"champion": md5}, [("ml/d=mlp@v1.0.0", md5)])
    project.lose_the_store()
    rebuild_registry(project.params.tracking.experiment)
    assert project.registry() == before
    assert not Path("mlflow.db").exists()  # MLflow's default store


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *((file, None) for file in (paths.VERDICT, DETAILS, ONNX, paths.model_card(MODEL))),
        (paths.VERDICT, {"passed": False}),
        (DETAILS, {"differing_predictions": 1, "max_logit_difference": 0.0}),
        (DETAILS, {"differing_predictions": 0, "max_logit_difference": 1.0}),
        (DETAILS, {"differing_predictions": None, "max_logit_difference": "0"}),
    ],
)
def test_a_missing_or_bad_file_is_named(project: TinyProject, file: Path, content: dict[str, object] | None) -> None:
    file.unlink()
    if content:
        file.write_text(json.dumps(content))
    check_refused(project, str(file))


def test_reports_of_earlier_commits_are_read(project: TinyProject) -> None:
    DETAILS.rename(DETAILS.with_name("metrics.json"))
    paths.VERDICT.rename(paths.VALIDATION / "metrics.json")
    with mock.patch.object(Cache, "stale", return_value=[]):
        project.promote()
    assert len(project.registry()[1]) == 2


def test_what_is_not_committed_or_has_not_run_is_refused(project: TinyProject) -> None:
    Path("new.txt").touch()
    check_refused(project, "new.txt")
    Path("new.txt").unlink()
    check_refused(project, "nobody", lambda: promote.run(project.params, "nobody", "minor"))
    WEIGHTS.unlink()
    check_refused(project, "train@mlp")


def test_a_worse_model_is_refused(project: TinyProject) -> None:
    project.train(-matrix(3))
    check_refused(project, "tracking.promote.significance")
    project.lose_the_store()
    project.show()
    with pytest.raises(PipelineError, match="significance"):  # the champion of the tags is the one to beat
        project.promote()


def test_a_class_that_falls_is_refused_by_its_name(project: TinyProject) -> None:
    weights = matrix(3)
    weights[:, 3] = -np.abs(weights[:, 3])
    limits = project.params.tracking.promote.model_copy(update={"significance": 1e-300})
    tracking = project.params.tracking.model_copy(update={"promote": limits})
    project.params = project.params.model_copy(update={"tracking": tracking})
    project.train(weights)
    check_refused(project, "label 3")


def test_a_champion_outlives_another_export_of_its_run(project: TinyProject) -> None:
    version = project.store.client.get_model_version_by_alias(MODEL, "champion")
    onnx.save(network(matrix(5)), ".cache/other.onnx")
    assert log_onnx_model(project.store.client, version.run_id, MODEL, Path(".cache/other.onnx"))
    project.promote()  # it compares with the champion's file
    assert len(project.registry()[1]) == 2
