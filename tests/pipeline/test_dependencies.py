"""DVC does not follow imports, so these tests do; and what cannot change a result must rerun nothing."""

import ast
import json
import shutil
import tomllib
from pathlib import Path

import grimp
import pytest
import yaml

from mnist_pipeline.params import Data, Evaluate, Export, Params, Section, Train, load_params
from projects import Project

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
MODELS = PARAMS["models"]
ALL_MODELS = [name for name, section in PARAMS["train"].items() if isinstance(section, dict)]
REASONS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mnist-pipeline"]["not-dependencies"]
GRAPH = grimp.build_graph("mnist_pipeline", cache_dir=None)


def imported_by(stage: str, model: str) -> set[str]:
    """The first-party modules that a stage of a model imports, and those that these import, but for REASONS."""
    found, waiting = set(), [f"mnist_pipeline.stages.{stage}"]
    if any("models/${item.model}.py" in dep for dep in STAGES[stage]["deps"]):  # `build` imports it by its name
        waiting.append(f"mnist_pipeline.models.{model}")
    while waiting:
        name = waiting.pop()
        if name == "mnist_pipeline.files":  # it is left out, but not the form that it writes in
            waiting.append("mnist_pipeline.formats")
        if name not in found and not any(name == left_out or name.startswith(f"{left_out}.") for left_out in REASONS):
            found.add(name)
            waiting += GRAPH.find_modules_directly_imported_by(name)
            if name == "mnist_pipeline.stages.evaluate":  # which finds them by pkgutil
                waiting += GRAPH.find_children("mnist_pipeline.evaluation")
    return found


def source_file(module: str) -> Path:
    path = SOURCE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def dependencies(stage: str, model: str) -> list[Path]:
    """The source files and folders that a stage of a model depends on."""
    named = (dep.replace("${item.model}", model) for dep in STAGES[stage]["deps"])
    return [ROOT / dep for dep in named if dep.startswith("src/")]


def without_code(path: Path) -> bool:
    """Whether a file holds a docstring alone, as packages above the dependencies do."""
    body = ast.parse(path.read_text()).body
    return path.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_deps_of_a_stage_are_what_it_imports(stage: str, model: str) -> None:
    files = {source_file(module) for module in imported_by(stage, model)}
    package = SOURCE / "mnist_pipeline"
    inits = {folder / "__init__.py" for file in files for folder in file.parents if folder.is_relative_to(package)}
    named = dependencies(stage, model)
    missing = [file for file in files | inits if not any(file.is_relative_to(dep) for dep in named)]
    assert [file for file in missing if not without_code(file)] == []
    # what some networks import is a dependency of all: `deps` has no conditions
    used = {source_file(module) for each in {model, *ALL_MODELS} for module in imported_by(stage, each)}
    imported = [dep for dep in named if any(file.is_relative_to(dep) for file in used)]
    assert [dep for dep in named if dep.suffix != ".j2" and dep not in imported] == []
    assert all(dep.exists() for dep in named)


@pytest.mark.parametrize("module", REASONS)
def test_what_is_left_out_of_the_deps_exists(module: str) -> None:
    assert source_file(module).exists()


def test_parameters_are_neither_invented_nor_converted() -> None:
    """The values that DVC tracks say all, so the module that checks them is no dependency of a stage."""
    assert load_params(ROOT / "params.yaml").model_dump(by_alias=True) == PARAMS
    sections = [Params]
    for section in sections:
        for name, field in section.model_fields.items():
            assert field.is_required(), f"{section.__name__}.{name} has a default"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                sections.append(field.annotation)
    assert {Data, Train, Evaluate, Export} <= set(sections)


def test_every_stage_has_its_section_of_params() -> None:
    assert STAGES.keys() - {"download"} <= Params.model_json_schema()["properties"].keys()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_drawn_and_can_be_pulled_by_name(model: str) -> None:
    """DVC has no matrix for plots and artifacts: `mnist-pipeline plots` writes a new model's lines there."""
    assert PIPELINE["artifacts"][model]["path"] == f"models/{model}/model.onnx"
    drawn = yaml.safe_dump(PIPELINE["plots"])
    for file in ("train/{}/history.csv", "evaluate/predictions/{}.csv", "evaluate/{}/figures", "card/{}/curves.png"):
        assert f"reports/{file.format(model)}" in drawn


def test_the_lock_is_of_this_code_and_these_parameters(tmp_path: Path) -> None:
    """Who changes a stage runs it and commits the hashes: else nobody can pull what belongs to the commit."""
    copy = Project(tmp_path / "repository")
    shutil.copytree(SOURCE, copy.path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, copy.path)
    for folder in ("suites", "init"):
        shutil.copytree(ROOT / folder, copy.path / folder)
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


def test_harmless_changes_rerun_nothing(reproduced: Project) -> None:
    """A reworded error, comments, a new command, parameters that change no result; a comment in another model."""

    def append(name: str, text: str) -> None:
        path = reproduced.path / name
        path.write_text(path.read_text() + text)

    def stale() -> set[str]:
        return set(json.loads(reproduced.run("dvc", "status", "--json")))

    errors = reproduced.path / "src/mnist_pipeline/errors.py"
    errors.write_text(errors.read_text().replace("message", "text"))
    for name in ("params", "console", "tracking/runs", "commands/sync", "export/latency", "validation/data_docs"):
        append(f"src/mnist_pipeline/{name}.py", "\n# A comment\n")
    append("src/mnist_pipeline/validation/data_docs.html.j2", "<!-- A comment -->\n")
    append("src/mnist_pipeline/cli.py", '\n\n@app.command()\ndef hello() -> None:\n    """Greet."""\n')
    append("sweeps/mlp.yaml", "momentum: {low: 0.8, high: 0.95, log: false}\n")
    params = reproduced.params()
    params["data"]["retries"] += 1
    params["sweep"]["random_trials"] = 3
    params["tracking"]["time_budget_seconds"] = 7
    reproduced.write_params(params)
    assert stale() == set()
    append("src/mnist_pipeline/models/mlp.py", "\n# A comment\n")
    assert stale() == {"train@mlp", "evaluate@mlp", "export@mlp"}
