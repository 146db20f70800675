"""INT8 is offered where its file is smaller and its accuracy not significantly lower; else the reason is told."""

import numpy as np
import pytest

from mnist_pipeline.evaluation.offer import adjusted_interval, judge

LABELS = np.zeros(100, dtype=np.uint8)


def predictions(*wrong: int) -> np.ndarray:
    found = np.zeros(100, dtype=np.int64)
    found[list(wrong)] = 1
    return found


def test_smaller_and_as_accurate_is_offered() -> None:
    offer = judge(LABELS, predictions(1, 2), predictions(2, 3), (250, 1000), 0.05)
    assert offer.offered
    assert offer.reason == "smaller, and not significantly less accurate"
    assert (offer.accuracy, offer.float32_accuracy, offer.accuracy_difference) == (0.98, 0.98, 0)
    assert (offer.won, offer.lost, offer.p_value) == (1, 1, 1)
    assert (offer.size_bytes, offer.size_ratio) == (250, 0.25)
    assert offer.accuracy_difference_low < 0 < offer.accuracy_difference_high


def test_what_is_not_smaller_is_not_offered() -> None:
    offer = judge(LABELS, predictions(), predictions(), (1000, 1000), 0.05)
    assert not offer.offered
    assert offer.reason == "not smaller"
    assert offer.p_value == 1


def test_a_significant_loss_is_not_offered() -> None:
    """Six images lost and none won happen by chance once in 32 times, five once in 16."""
    worse = judge(LABELS, predictions(*range(6)), predictions(), (250, 1000), 0.05)
    assert not worse.offered
    assert worse.reason == "significantly less accurate"
    assert worse.p_value == pytest.approx(2 / 2**6)
    assert worse.accuracy_difference == pytest.approx(-0.06)
    assert judge(LABELS, predictions(*range(5)), predictions(), (250, 1000), 0.05).offered
    assert not judge(LABELS, predictions(*range(5)), predictions(), (250, 1000), 0.1).offered


def test_a_significant_gain_is_offered() -> None:
    assert judge(LABELS, predictions(), predictions(*range(9)), (250, 1000), 0.05).offered


def test_the_interval_is_that_of_the_literature() -> None:
    """Fagerland, Lydersen and Laake (2014), BMC Medical Research Methodology 14, airway hyper-responsiveness: 1 and 7
    of 21 pairs differ."""
    assert adjusted_interval(1, 7, 21, 0.95) == pytest.approx((-0.508, -0.013), abs=0.001)


def test_the_interval_narrows_with_the_images_and_has_a_width_where_none_differs() -> None:
    low, high = adjusted_interval(0, 0, 10_000, 0.95)
    assert -0.001 < low < 0 < high < 0.001
    assert adjusted_interval(0, 0, 100, 0.95)[1] > high
    assert adjusted_interval(0, 0, 10_000, 0.99)[1] > high
