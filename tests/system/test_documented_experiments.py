"""Every command of the pages on experiments and on the tutorial works, in their order."""

import re
from pathlib import Path

import pytest

from pages import commands, follow, python_blocks
from projects import Project
from tracked_content import runs_of

ROOT = Path(__file__).parents[2]
PAGES = ("docs/how-to/experiments.md", "docs/tutorials/from-pytorch.md")
EXPERIMENTS = {"slower": ["lenet"], "tutorial": ["lenet", "mlp"]}
"""Those of the pages that have a name, and the models that they train."""


@pytest.fixture(scope="module")
def reproduced(reproduced: Project) -> Project:
    reproduced.commit("The first result")
    return reproduced


@pytest.mark.parametrize(("page", "command"), [(page, line) for page in PAGES for line in commands(ROOT / page)])
def test_a_command_of_a_page_works_after_those_before_it(reproduced: Project, page: str, command: str) -> None:
    follow(reproduced, page, command)


def test_experiments_in_copies_and_in_the_queue_are_runs_of_the_one_store(reproduced: Project) -> None:
    """Those of the pages: two queued ones, one in a copy, and the recipe of the tutorial."""
    runs = runs_of(reproduced.path)
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


@pytest.mark.parametrize("block", python_blocks(ROOT / PAGES[1]))
def test_the_tutorial_s_error_and_its_fix_print_what_the_page_shows(reproduced: Project, block: str) -> None:
    (shown,) = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert reproduced.run("python", "-c", block).strip() == shown
