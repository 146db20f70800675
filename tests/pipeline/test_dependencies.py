"""DVC does not follow imports, so these tests do."""

import ast
import json
import shutil
from pathlib import Path

import grimp
import pytest
import yaml

from projects import Project

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
MODELS = yaml.safe_load((ROOT / "params.yaml").read_text())["models"]
NOT_COMPUTING = ("mnist_pipeline.tracking", "mnist_pipeline.cli", "mnist_pipeline.console")
"""Rooms that show what was computed: a change there changes no output."""


def import_closure(module: str) -> set[str]:
    graph = grimp.build_graph("mnist_pipeline", cache_dir=None)
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in found or name.startswith(NOT_COMPUTING):
            continue
        found.add(name)
        waiting += graph.find_modules_directly_imported_by(name)
    return found


def source_file(module: str) -> Path:
    path = SOURCE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("stage", STAGES)
def test_every_first_party_import_of_a_stage_is_among_its_deps(stage: str) -> None:
    covered = [ROOT / dep for dep in STAGES[stage]["deps"]]
    missing = [
        module
        for module in import_closure(f"mnist_pipeline.stages.{stage}")
        if not any(source_file(module).is_relative_to(dep) for dep in covered)
    ]
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_every_dep_in_the_source_is_imported_by_its_stage(stage: str) -> None:
    imported = {source_file(module) for module in import_closure(f"mnist_pipeline.stages.{stage}")}
    for dep in STAGES[stage]["deps"]:
        if dep.startswith("src/"):
            assert any(path.is_relative_to(ROOT / dep) for path in imported), dep


@pytest.mark.parametrize("package", ["mnist_pipeline", "mnist_pipeline.stages"])
def test_packages_above_the_deps_hold_no_code(package: str) -> None:
    """Importing a stage runs these two files, which no stage names as a dependency."""
    (docstring,) = ast.parse(source_file(package).read_text()).body
    assert isinstance(docstring, ast.Expr)


def test_every_stage_has_its_section_of_params() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert STAGES.keys() - {"download"} <= params.keys()
    assert "data" in params


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_drawn_and_can_be_pulled_by_name(model: str) -> None:
    """DVC has no matrix for plots and artifacts: a new model needs its lines there."""
    assert PIPELINE["artifacts"][model]["path"] == f"models/{model}/model.onnx"
    drawn = yaml.safe_dump(PIPELINE["plots"])
    for file in ("train/{}/history.csv", "evaluate/{}/predictions.csv", "evaluate/{}/mistakes.png"):
        assert f"reports/{file.format(model)}" in drawn


def test_the_lock_is_of_this_code_and_these_parameters(tmp_path: Path) -> None:
    """Whoever changes a stage runs it, and commits the hashes: else nobody can pull what belongs to the commit."""
    copy = Project(tmp_path / "repository")
    shutil.copytree(SOURCE, copy.path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, copy.path)
    copy.run("git", "init", "--quiet")
    copy.run("dvc", "init", "--quiet")
    changed = [
        (stage, what)
        for stage, changes in json.loads(copy.run("dvc", "status", "--json")).items()
        for change in changes
        for what in (change if isinstance(change, str) else change.get("changed deps", {}))
        if not what.startswith(("data/", "models/", "reports/"))
    ]
    assert changed == [], "run make repro and commit dvc.lock"
