"""Intervals of an accuracy, of other measures, and of the difference of two accuracies on the same images."""

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Measured = TypeVar("Measured", float, NDArray[np.float64])


def wilson_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a success rate, which has a width even where all trials succeed."""
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap_interval(
    measure: Callable[[NDArray[np.int64]], Measured], images: int, confidence: float
) -> tuple[Measured, Measured]:
    """Lower and upper bounds of measures that are no share of images, by resampling the images; seeded.

    `measure` computes one or several of them from the numbers `[images]` of the images in a resample. The percentile
    interval: Efron and Tibshirani (1993), "An introduction to the bootstrap", chapter 13. Of what chance can only
    raise, such as the expected calibration error, it lies high.
    """
    from scipy.stats import bootstrap

    settings = {"confidence_level": confidence, "method": "percentile", "rng": 0, "batch": 100, "vectorized": False}
    found = bootstrap((np.arange(images),), measure, n_resamples=1000, **settings).confidence_interval
    return found.low, found.high


def difference_interval(won: int, lost: int, images: int, confidence: float) -> tuple[float, float]:
    """Bootstrap interval of the difference of two accuracies on the same images.

    `won` images one classifier alone has right, `lost` images the other alone; where both are 0, so are the bounds.
    """
    outcomes = np.repeat([1, -1, 0], [won, lost, images - won - lost])
    low, high = bootstrap_interval(lambda drawn: outcomes[drawn].mean(), images, confidence)
    return float(low), float(high)


def adjusted_interval(won: int, lost: int, images: int, confidence: float) -> tuple[float, float]:
    """An interval of the difference of two accuracies on the same images that is never empty.

    It has a width also where neither won any, as is usual of INT8, and where the bootstrap's would have none.
    Bonett and Price (2012), "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", Journal of Educational and Behavioral Statistics 37(4), 479-488.
    """
    more, less = (won + 1) / (images + 2), (lost + 1) / (images + 2)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt((more + less - (more - less) ** 2) / (images + 2))
    return max(-1.0, more - less - reach), min(1.0, more - less + reach)
