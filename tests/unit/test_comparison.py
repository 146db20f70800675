"""Two classifiers on the same images."""

import numpy as np
import pytest
from scipy.stats import binomtest

from mnist_pipeline.evaluation.comparison import compare

NAMES = ["zero", "one"]


def test_only_the_images_on_which_they_differ_count() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=np.uint8)
    champion = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    candidate = np.array([1, 1, 0, 0, 1, 1, 1, 1])
    found = compare(labels, candidate, champion, NAMES)
    assert (found.images, found.won, found.lost) == (8, 1, 2)
    assert (found.candidate_accuracy, found.champion_accuracy) == (6 / 8, 7 / 8)
    assert found.p_value == pytest.approx(binomtest(2, 3).pvalue) == pytest.approx(1.0)
    assert (found.worst_class, found.class_drop) == ("zero", 0.25)


def test_the_exact_p_value_is_the_textbook_s() -> None:
    """Ten that one alone had right against two: 2 · P(at most 2 of 12 by a fair coin) = 158 / 4096."""
    labels = np.zeros(12, dtype=np.uint8)
    found = compare(labels, np.array([1] * 10 + [0] * 2), np.array([0] * 10 + [1] * 2), NAMES)
    assert (found.lost, found.won) == (10, 2)
    assert found.p_value == pytest.approx(158 / 4096)


def test_equal_predictions_differ_by_nothing() -> None:
    labels = np.array([0, 1], dtype=np.uint8)
    found = compare(labels, labels.astype(np.int64), labels.astype(np.int64), NAMES)
    assert (found.won, found.lost, found.p_value, found.class_drop) == (0, 0, 1.0, 0.0)
