"""Intervals by resampling, of the measures that are no share of images.

Each resample takes as many of the test images as there are, with replacement, and measures those; the interval holds
the middle of what was found: the percentile interval of Efron and Tibshirani (1993), "An introduction to the
bootstrap", chapter 13. Of what chance can only raise, such as the expected calibration error, it lies high.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from mnist_pipeline.evaluation.metrics import DECIMALS, confidence_bins
from mnist_pipeline.evaluation.selection import rounded_area

RESAMPLES = 1000


def bootstrap_intervals(logits: Tensor, labels: Tensor, confidence: float, bins: int) -> dict[str, float]:
    """`<measure>_low` and `<measure>_high` of what `measures_of` measures; seeded."""
    measure, images, random = measures_of(logits, labels, bins), len(labels), np.random.default_rng(0)
    drawn = (random.integers(images, size=images) for _ in range(RESAMPLES))
    found = pd.DataFrame([measure(np.bincount(images_drawn, minlength=images)) for images_drawn in drawn])
    bounds = {"low": found.quantile((1 - confidence) / 2), "high": found.quantile((1 + confidence) / 2)}
    return {
        f"{name}_{end}": rounded_area(value) if name == "area_under_risk" else round(value, DECIMALS)
        for end, values in bounds.items()
        for name, value in values.items()
    }


def measures_of(logits: Tensor, labels: Tensor, bins: int) -> Callable[[NDArray[np.int64]], dict[str, float]]:
    """What measures logits `[N, classes]` against labels `[N]` when each image is taken so many `times`, `[N]`.

    Names and, where each is taken once, values are those of an evaluation. Copies of an image are answered together.
    """
    probability, predicted = (values.numpy() for values in logits.double().softmax(1).max(1))
    losses, truth = cross_entropy(logits.double(), labels, reduction="none").numpy(), labels.numpy()
    wrong, interval = predicted != truth, confidence_bins(probability, bins)
    classes, surest_first = logits.shape[1], np.argsort(-probability, kind="stable")

    def measure(times: NDArray[np.int64]) -> dict[str, float]:
        excess = np.bincount(interval, times * (probability - ~wrong))  # of confidence over accuracy
        confusion = np.bincount(truth * classes + predicted, times, classes**2).reshape(classes, classes)
        counted = confusion.sum(0) + confusion.sum(1)
        answered, errors = times[surest_first].cumsum(), (times * wrong)[surest_first].cumsum()
        return {
            "loss": (times * losses).sum() / times.sum(),
            "expected_calibration_error": np.abs(excess).sum() / times.sum(),
            "f1": (2 * np.diag(confusion)[counted > 0] / counted[counted > 0]).mean(),
            "area_under_risk": (times[surest_first] * errors / np.maximum(answered, 1)).sum() / times.sum(),
        }

    return measure
