"""No failure of MLflow costs a training, and `mnist-pipeline sync` heals what each leaves behind.

`make bench` meets the other failures too, some of which take half a minute each.
"""

import os

import pytest

import tracking_failures
from tracking_failures import Place

CASES = ["folder_is_a_file", "server_is_killed", *(["disk_is_full"] if os.geteuid() == 0 else [])]
"""Only root can mount a small disk."""


@pytest.fixture(scope="module")
def place(project) -> Place:
    return Place(project, "train")


@pytest.mark.parametrize("name", CASES)
def test_a_failure_costs_one_line_and_a_sync(place: Place, name: str) -> None:
    outcome = place.meet(getattr(tracking_failures, name))
    assert outcome.trained.code == 0
    assert outcome.trained.warnings == 1, outcome.trained.printed
    assert "Traceback" not in outcome.trained.printed
    assert outcome.same_weights
    assert outcome.synced.code == 0, outcome.synced.printed
    assert outcome.whole
    assert outcome.left_running == 0


def test_a_killed_training_is_marked_and_leaves_nothing_half_written(place: Place) -> None:
    outcome = place.meet(tracking_failures.training_is_killed)
    assert outcome.trained.code == -9
    assert outcome.same_weights is None
    assert outcome.whole
    assert outcome.left_running == 0
