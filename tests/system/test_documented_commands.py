"""Every command in a console block of the documentation works, in the order of the pages."""

import ast
import re
import shlex
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pages import commands, python_blocks
from projects import Project
from servers import free_port, running
from tracked_content import runs_of

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/data.md",
    "docs/promotion.md",
    "docs/experiments.md",
    "docs/tracking.md",
    "docs/training.md",
    "docs/speed.md",
    "docs/from-the-tutorial.md",
)
SERVING = ROOT / "docs/serving.md"
TUTORIAL = ROOT / "docs/from-the-tutorial.md"
ELSEWHERE = (ROOT / "docs/artifacts.md", ROOT / "docs/team-servers.md")
"""Their commands need a second clone, or servers; other tests run them."""
WITHOUT_INSTALLING = "--assume-old=.venv/.installed"
"""The tests run in an environment that is already there."""
BY_ITSELF = ("profile", "promote", "lineage", "sync")
"""Commands of ours that start no process; they run within the test's, which saves seconds of imports."""
EXPERIMENTS = {"slower": ["lenet"], "two": ["mlp"], "fast": ["lenet"], "tutorial": ["lenet", "mlp"]}
"""Those of the pages that have a name, and the models that they train."""


@pytest.fixture(scope="module")
def project(reproduced: Project) -> Project:
    """The first `make repro` of a reader has been run; here, the README's has nothing to do."""
    return reproduced


def serving(project: Project, command: list[str], address: str) -> AbstractContextManager[int]:
    log = project.path.parent / "server.log"
    return running(command, address, folder=project.path, environment=project.environment(), log=log)


def test_no_page_with_commands_is_left_out() -> None:
    with_commands = {page for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if commands(page)}
    assert with_commands <= {SERVING, *ELSEWHERE, *(ROOT / page for page in PAGES)}


@pytest.mark.parametrize(("page", "command"), [(page, line) for page in PAGES for line in commands(ROOT / page)])
def test_a_command_of_a_page_works_after_those_before_it(project: Project, page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        words.insert(1, WITHOUT_INSTALLING)
    if words[-1] == "ui":
        port = free_port()
        with serving(project, [*words, f"PORT={port}"], f"http://127.0.0.1:{port}"):
            pass
    elif words[0] == "mnist-pipeline" and words[1] in BY_ITSELF:
        project.cli(*words[1:])
    else:
        project.run(*words)
    if words[-1] == "repro":
        project.commit(f"The result of {page}")


def test_experiments_in_copies_and_in_the_queue_are_runs_of_the_one_store(project: Project) -> None:
    """Those of the pages: two queued ones, one in two processes, a fast one, and the recipe of the tutorial."""
    runs = runs_of(project.path)
    assert {run.info.status for run in runs} == {"FINISHED"}
    mlps = [run for run in runs if run.data.params["model"] == "mlp"]
    queued = [run for run in mlps if run.data.params["weight_decay"] in ("0.02", "0.05")]
    assert len(queued) == 2
    for run in queued:
        assert {"accuracy", "validation_accuracy", "onnx/max_logit_difference"} <= run.data.metrics.keys()
    named = {name: [run for run in runs if run.data.tags.get("dvc.exp_name") == name] for name in EXPERIMENTS}
    assert {name: sorted(run.data.params["model"] for run in found) for name, found in named.items()} == EXPERIMENTS
    assert {run.data.params["optimizer"] for run in named["tutorial"]} == {"sgd"}
    assert all("accuracy" in run.data.metrics for run in named["tutorial"])


@pytest.mark.parametrize("block", python_blocks(TUTORIAL))
def test_the_tutorial_s_error_and_its_fix_print_what_the_page_shows(project: Project, block: str) -> None:
    (shown,) = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert project.run("python", "-c", block).strip() == shown


def test_a_model_is_used_and_served_as_its_page_shows(project: Project) -> None:
    predict, command = commands(SERVING)
    shutil.copytree(ROOT / "docs/images", project.path / "docs/images")
    printed = project.cli(*shlex.split(predict)[1:])
    assert re.search(r"seven\.png +\d +[\d.]+%", printed)  # the model is of tiny data
    *blocks, request = python_blocks(SERVING)
    printed = [project.run("python", "-c", block) for block in blocks][-1]
    port = str(free_port())
    command = command.replace("models:/m-…", printed.split()[-1]).replace("5001", port)
    with serving(project, ["bash", "-c", f"exec env {command}"], f"http://127.0.0.1:{port}/ping"):
        answer = project.run("python", "-c", request.replace("5001", port))
    (probabilities,) = ast.literal_eval(answer)
    assert len(probabilities) == 10
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
