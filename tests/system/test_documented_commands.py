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
from tracked_content import rows_of

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


@pytest.fixture(scope="module")
def project(reproduced):
    """The first `make repro` of a reader has been run; here, the README's has nothing to do.

    Its commands begin as a reader's do, in processes that have imported nothing: tests/warm.py does not fork for one
    that has this variable.
    """
    return Project(reproduced.path, {**reproduced.extra, "PYTHONHASHSEED": "7"})


def serving(project, command: list[str], address: str) -> AbstractContextManager[None]:
    log = project.path.parent / "server.log"
    return running(command, address, folder=project.path, environment=project.environment(), log=log)


def test_no_page_with_commands_is_left_out() -> None:
    with_commands = {page for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")] if commands(page)}
    assert with_commands <= {SERVING, *ELSEWHERE, *(ROOT / page for page in PAGES)}


@pytest.mark.parametrize(("page", "command"), [(page, line) for page in PAGES for line in commands(ROOT / page)])
def test_a_command_of_a_page_works_after_those_before_it(project, page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        words.insert(1, WITHOUT_INSTALLING)
    if words[-1] == "ui":
        port = free_port()
        with serving(project, [*words, f"PORT={port}"], f"http://127.0.0.1:{port}"):
            pass
    else:
        project.run(*words)
    if words[-1] == "repro":
        project.commit(f"The result of {page}")


def test_the_tutorials_recipe_stands_beside_ours(project) -> None:
    """`make tutorial`, of its page, has run."""
    rows = [row for row in rows_of(project.path) if row.data.tags.get("dvc.exp_name") == "tutorial"]
    assert sorted(row.data.params["model"] for row in rows) == ["lenet", "mlp"]
    assert {row.data.params["optimizer"] for row in rows} == {"sgd"}
    assert all("test/accuracy" in row.data.metrics for row in rows)


@pytest.mark.parametrize("block", python_blocks(TUTORIAL))
def test_the_tutorial_s_error_and_its_mend_are_as_the_page_says(project, block: str) -> None:
    (told,) = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert project.run("python", "-c", block).strip() == told


def test_a_model_is_used_and_served_as_the_page_says(project) -> None:
    predict, command = commands(SERVING)
    shutil.copytree(ROOT / "docs/images", project.path / "docs/images")
    assert re.search(r"seven\.png +\d +[\d.]+%", project.run(*shlex.split(predict)))  # of a model of tiny data
    *blocks, request = python_blocks(SERVING)
    printed = [project.run("python", "-c", block) for block in blocks]
    port = str(free_port())
    command = command.replace("models:/m-…", printed[-1].split()[-1]).replace("5001", port)
    with serving(project, ["bash", "-c", f"exec env {command}"], f"http://127.0.0.1:{port}/ping"):
        answer = project.run("python", "-c", request.replace("5001", port))
    (probabilities,) = ast.literal_eval(answer)
    assert len(probabilities) == 10
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
