"""Every command in a console block of the documentation works, in the order of the pages."""

import ast
import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import pytest

from pages import WITHOUT_INSTALLING, commands, follow, python_blocks, serving
from projects import Project
from servers import accepts, free_port
from tracked_content import runs_of

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/how-to/validate-data.md",
    "docs/how-to/promotion.md",
    "docs/explanation/tracking.md",
    "docs/how-to/training.md",
    "docs/explanation/speed.md",
)
SERVING = ROOT / "docs/how-to/use-a-model.md"
ELSEWHERE = (
    "docs/how-to/artifacts.md",
    "docs/how-to/experiments.md",
    "docs/how-to/team-servers.md",
    "docs/tutorials/from-pytorch.md",
    "docs/tutorials/your-own-images.md",
)
"""Other tests run their commands."""
EXPERIMENTS = {"faster": "lenet", "two": "mlp", "fast": "lenet"}
"""Those of the pages that have a name, and the model that each trains."""


@pytest.fixture(scope="module")
def reproduced(reproduced: Project) -> Project:
    """What a reader has who cloned it: results that are published, and the picture of a seven."""
    shutil.copytree(ROOT / "docs/images", reproduced.path / "docs/images")
    reproduced.run("make", WITHOUT_INSTALLING, "publish")
    reproduced.commit("The first result, published")
    return reproduced


def test_no_page_with_commands_is_left_out() -> None:
    with_commands = {page for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if commands(page)}
    assert with_commands <= {SERVING, *(ROOT / page for page in (*PAGES, *ELSEWHERE))}


@pytest.mark.parametrize(("page", "command"), [(page, line) for page in PAGES for line in commands(ROOT / page)])
def test_a_command_of_a_page_works_after_those_before_it(reproduced: Project, page: str, command: str) -> None:
    follow(reproduced, page, command)


def test_experiments_are_runs_of_the_one_store(reproduced: Project) -> None:
    runs = runs_of(reproduced.path)
    assert {run.info.status for run in runs} == {"FINISHED"}
    tagged = [run.data for run in runs if "dvc.exp_name" in run.data.tags]
    assert {run.tags["dvc.exp_name"]: run.params["model"] for run in tagged} == EXPERIMENTS


def test_the_pages_end_when_they_are_terminated(reproduced: Project) -> None:
    port = free_port()
    with serving(reproduced, ["mnist-pipeline", "ui", "--port", str(port)], f"http://127.0.0.1:{port}") as process:
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while accepts(port):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_model_is_used_and_served_as_its_page_shows(reproduced: Project) -> None:
    predict, command = commands(SERVING)
    printed = reproduced.cli(*shlex.split(predict)[1:])
    assert re.search(r"seven\.png +\d +[\d.]+%", printed)  # the model is of tiny data
    *blocks, request = python_blocks(SERVING)
    printed = [reproduced.run("python", "-c", block) for block in blocks][-1]
    port = str(free_port())
    command = command.replace("models:/m-…", printed.split()[-1]).replace("5001", port)
    with serving(reproduced, ["bash", "-c", f"exec env {command}"], f"http://127.0.0.1:{port}/ping"):
        answer = reproduced.run("python", "-c", request.replace("5001", port))
    (probabilities,) = ast.literal_eval(answer)
    assert len(probabilities) == 10
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
