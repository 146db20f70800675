"""From every name of an artifact to its origin."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from mnist_pipeline import paths
from mnist_pipeline.commands import lineage
from mnist_pipeline.commands.lineage import Lineage
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.formats import directory_digest, file_digest
from tiny_project import DETAILS, MODEL, ONNX, WEIGHTS, TinyProject, matrix, network, run_git

TAG = "mlp@v1.1.0"


def trace(project: TinyProject, name: object) -> Lineage:
    (found,) = lineage.trace(project.params, str(name))
    return found


def test_every_name_of_a_model_leads_to_its_origin(project: TinyProject) -> None:
    project.promote()
    found = trace(project, ONNX)
    for name in ("models:/mlp@champion", "models:/mlp/2", TAG, "mlp#champion#2"):
        other = trace(project, name)
        assert replace(other, artifact=found.artifact) == found
    assert (found.md5, found.commit) == (file_digest(ONNX, "md5"), run_git("rev-parse", "HEAD"))
    assert (found.stage, found.parameters) == ("export@mlp", {"train": {"seed": 42}})
    assert found.data_md5 == directory_digest(paths.RAW)
    assert [(version.version, version.aliases) for version in found.versions] == [("2", ("champion",))]
    assert {"mlp#champion#2", TAG} <= set(found.tags)
    assert ([run.md5 for run in found.runs], found.unknown) == ([file_digest(WEIGHTS, "md5")], [])


def test_runs_weights_and_reports_have_one_too(project: TinyProject) -> None:
    (run,) = trace(project, ONNX).runs
    for name in (run.run_id, WEIGHTS):
        found = trace(project, name)
        assert (found.md5, found.stage, found.runs) == (file_digest(WEIGHTS, "md5"), "train@mlp", [run])
    found = trace(project, DETAILS)  # the same bytes for both models: the oldest commit
    assert (found.stage, found.commit, len(found.runs)) == ("export@mlp", run_git("rev-parse", "HEAD~1"), 2)


def test_a_file_in_a_folder_has_the_origin_of_the_folder(project: TinyProject) -> None:
    for name in (paths.RAW / "t10k-labels-idx1-ubyte", Path.cwd() / paths.RAW / "train-images-idx3-ubyte"):
        found = trace(project, name)
        assert (found.stage, found.commit) == ("download", run_git("rev-parse", "HEAD~1"))
        assert (found.md5, found.data_md5) == (file_digest(name, "md5"), directory_digest(paths.RAW))
        assert (found.tags, found.unknown[1:]) == (["mlp#champion#1", "mlp@v1.0.0"], [])


def test_a_commit_leads_to_its_models_in_lines_or_json(
    project: TinyProject, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = run_git("rev-parse", "--short=9", "HEAD~1")
    lineage.run(project.params, commit, True)
    assert {entry["artifact"] for entry in json.loads(capsys.readouterr().out)} == {str(ONNX), str(WEIGHTS)}
    lineage.run(project.params, commit, False)
    titles = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert titles[:6] == ["md5", "commit", "tags", "stage", "data/raw", "runs"]


def test_in_a_subfolder_tags_begin_with_its_path(
    start_project: Callable[[Path], TinyProject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_git("init", "--quiet", "--initial-branch", "main")
    project = start_project(tmp_path / "ml/d")
    project.train(matrix(1))
    run_git("tag", "--annotate", "ml/d=mlp@v1.0.0", "--message", "by hand")
    for name in ("ml/d=mlp@v1.0.0", ONNX):
        found = trace(project, name)
        assert (found.commit, found.tags) == (run_git("rev-parse", "HEAD"), ["ml/d=mlp@v1.0.0"])


def test_a_shallow_clone_does_not_know_the_commit(
    project: TinyProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = file_digest(ONNX, "md5")
    run_git("clone", "--quiet", "--depth", "1", f"file://{Path.cwd()}", str(tmp_path / "clone"))
    ONNX.rename(tmp_path / "clone/model.onnx")
    monkeypatch.chdir(tmp_path / "clone")
    found = trace(project, "model.onnx")
    assert (found.md5, found.commit, found.stage) == (md5, None, "export@mlp")
    assert any("git fetch --unshallow" in reason for reason in found.unknown)


def test_what_is_not_known_is_named(project: TinyProject) -> None:
    onnx.save(network(matrix(3)), "other.onnx")
    found = trace(project, "other.onnx")
    assert (found.commit, found.stage, found.metadata["model"], len(found.unknown)) == (None, None, MODEL, 1)
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:1"
    found = trace(project, DETAILS)
    assert (found.stage, found.runs, len(found.unknown)) == ("export@mlp", [], 1)


def test_what_has_no_origin_is_refused_by_its_name(project: TinyProject) -> None:
    run_git("rm", "--quiet", "--cached", "dvc.lock")
    run_git("commit", "--quiet", "--message", "No result")
    for name in ("nothing", "models:/mlp@nobody", "models:/mlp", "0" * 32, "HEAD"):
        with pytest.raises(PipelineError, match=name):
            trace(project, name)
