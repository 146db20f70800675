"""Resampled measures are those of the resampled images, and their intervals those of many such samples."""

import numpy as np
import pytest
import torch

from mnist_pipeline.evaluation.bootstrap import bootstrap_intervals, measures_of
from mnist_pipeline.evaluation.intervals import wilson_interval
from mnist_pipeline.evaluation.metrics import Evaluation, evaluate
from mnist_pipeline.evaluation.selection import area_under_risk

IMAGES, CLASSES, BINS = 400, 5, 10
MEASURES = ("loss", "expected_calibration_error", "f1")


@pytest.fixture(scope="module")
def answers() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a middling classifier, and labels; one class is never met, nor given."""
    random = torch.Generator().manual_seed(1)
    labels = torch.randint(0, CLASSES - 1, (IMAGES,), generator=random)
    logits = torch.randn(IMAGES, CLASSES, generator=random)
    logits[range(IMAGES), labels] += 2.5
    logits[:, -1] = -9
    return logits, labels


def evaluated(logits: torch.Tensor, labels: torch.Tensor) -> Evaluation:
    return evaluate(logits, labels, [str(label) for label in range(CLASSES)], 0.95, BINS)


def test_each_image_once_is_the_evaluation(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    found = measures_of(*answers, BINS)(np.ones(IMAGES, dtype=np.int64))
    known = evaluated(*answers)
    assert {name: found[name] for name in MEASURES} == pytest.approx(
        {name: known.summary[name] for name in MEASURES}, abs=1e-6
    )
    assert found["area_under_risk"] == pytest.approx(area_under_risk(known.predictions))


def test_images_taken_several_times_or_never_count_so_often(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = answers
    times = np.random.default_rng(2).integers(0, 4, IMAGES)
    found = measures_of(logits, labels, BINS)(times)
    rows = torch.tensor(np.repeat(np.arange(IMAGES), times))
    known = evaluated(logits[rows], labels[rows])
    assert {name: found[name] for name in MEASURES} == pytest.approx(
        {name: known.summary[name] for name in MEASURES}, abs=1e-6
    )
    assert found["area_under_risk"] == pytest.approx(area_under_risk(known.predictions), rel=0.01)


def test_intervals_hold_what_was_measured_and_grow_with_confidence(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    evaluation = evaluated(*answers)
    known = evaluation.summary | {"area_under_risk": area_under_risk(evaluation.predictions)}
    wide, narrow = (bootstrap_intervals(*answers, confidence, BINS) for confidence in (0.99, 0.8))
    for name in (*MEASURES, "area_under_risk"):
        assert wide[f"{name}_low"] < narrow[f"{name}_low"] < narrow[f"{name}_high"] < wide[f"{name}_high"]
        assert wide[f"{name}_low"] < known[name] < wide[f"{name}_high"]


def test_an_interval_is_as_wide_as_the_one_of_a_formula(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Where all classes are alike, the F1 score moves as the accuracy does."""
    found, known = bootstrap_intervals(*answers, 0.95, BINS), evaluated(*answers).summary
    low, high = wilson_interval(IMAGES - known["errors"], IMAGES, 0.95)
    assert found["f1_high"] - found["f1_low"] == pytest.approx(high - low, rel=0.1)


def test_the_interval_of_a_mean_is_that_of_its_standard_error(answers: tuple[torch.Tensor, torch.Tensor]) -> None:
    losses = torch.nn.functional.cross_entropy(*answers, reduction="none")
    found = bootstrap_intervals(*answers, 0.95, BINS)
    assert found["loss_high"] - found["loss_low"] == pytest.approx(
        2 * 1.96 * losses.std().item() / IMAGES**0.5, rel=0.1
    )
