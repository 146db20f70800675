"""Whether a network in INT8 is offered beside the one in float32 that it was made from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.evaluation.comparison import mcnemar, won_and_lost
from mnist_pipeline.evaluation.intervals import adjusted_interval


@dataclass(frozen=True)
class Cost:
    """What INT8 costs on some images.

    `won` images INT8 alone had right, `lost` images float32 alone; `p_value` is that of the exact McNemar test,
    two-sided. The difference of the accuracies has its interval beside it.
    """

    accuracy: float
    float32_accuracy: float
    accuracy_difference: float
    accuracy_difference_low: float
    accuracy_difference_high: float
    won: int
    lost: int
    p_value: float


@dataclass(frozen=True)
class Offer:
    """Whether INT8 is offered, why, and its size, also as a share of that of float32."""

    offered: bool
    reason: str
    size_bytes: int
    size_ratio: float


def cost(labels: NDArray[np.uint8], int8: NDArray[np.int64], float32: NDArray[np.int64], significance: float) -> Cost:
    """By the predictions `[N]` of both and the labels `[N]`; the interval's confidence is 1 - `significance`."""
    right, right_before = int8 == labels, float32 == labels
    won, lost = won_and_lost(right, right_before)
    low, high = adjusted_interval(won, lost, len(labels), 1 - significance)
    return Cost(
        accuracy=float(right.mean()),
        float32_accuracy=float(right_before.mean()),
        accuracy_difference=(won - lost) / len(labels),
        accuracy_difference_low=low,
        accuracy_difference_high=high,
        won=won,
        lost=lost,
        p_value=mcnemar(won, lost),
    )


def judge(held_out: Cost, sizes: tuple[int, int], significance: float) -> Offer:
    """Judges by what INT8 costs on images that no training saw, and by the sizes of both files in bytes, INT8 first.

    It is offered where its file is smaller, and where it does not have fewer images right with a p-value below
    `significance`. The test images are not asked: they choose nothing.
    """
    smaller = sizes[0] < sizes[1]
    worse = held_out.lost > held_out.won and held_out.p_value < significance
    return Offer(smaller and not worse, _reason(smaller, worse), sizes[0], sizes[0] / sizes[1])


def _reason(smaller: bool, worse: bool) -> str:
    if not smaller:
        return "not smaller"
    return "significantly less accurate" if worse else "smaller, and not significantly less accurate"
