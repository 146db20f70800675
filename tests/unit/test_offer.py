"""INT8 is offered where its file is smaller and its accuracy not significantly lower; else the reason is told."""

import numpy as np
import pytest

from mnist_pipeline.evaluation.offer import Offer, cost, judge

LABELS = np.zeros(100, dtype=np.uint8)


def predictions(*wrong: int) -> np.ndarray:
    found = np.zeros(100, dtype=np.int64)
    found[list(wrong)] = 1
    return found


def offered(
    int8: np.ndarray, float32: np.ndarray, sizes: tuple[int, int] = (250, 1000), significance: float = 0.05
) -> Offer:
    return judge(cost(LABELS, int8, float32, significance), sizes, significance)


def test_the_cost_by_hand() -> None:
    found = cost(LABELS, predictions(1, 2), predictions(2, 3, 4), 0.05)
    assert (found.accuracy, found.float32_accuracy) == (0.98, 0.97)
    assert found.accuracy_difference == pytest.approx(0.01)
    assert (found.won, found.lost, found.p_value) == (2, 1, 1)
    assert found.accuracy_difference_low < 0.01 < found.accuracy_difference_high


def test_smaller_and_as_accurate_is_offered() -> None:
    offer = offered(predictions(1, 2), predictions(2, 3))
    assert offer == Offer(True, "smaller, and not significantly less accurate", 250, 0.25)


def test_what_is_not_smaller_is_not_offered() -> None:
    offer = offered(predictions(), predictions(), (1000, 1000))
    assert (offer.offered, offer.reason) == (False, "not smaller")


def test_a_significant_loss_is_not_offered() -> None:
    """Six images lost and none won happen by chance once in 32 times, five once in 16."""
    worse = offered(predictions(*range(6)), predictions())
    assert (worse.offered, worse.reason) == (False, "significantly less accurate")
    assert cost(LABELS, predictions(*range(6)), predictions(), 0.05).p_value == pytest.approx(2 / 2**6)
    assert offered(predictions(*range(5)), predictions()).offered
    assert not offered(predictions(*range(5)), predictions(), significance=0.1).offered


def test_a_significant_gain_is_offered() -> None:
    assert offered(predictions(), predictions(*range(9))).offered
