"""Intervals of an accuracy, and of the difference of two on the same images."""

from math import sqrt
from statistics import NormalDist

import numpy as np


def wilson_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Bounds that hold the true success rate with the given confidence.

    Wilson's score interval, which stays within 0 and 1 and has a width even when all trials succeed: Wilson (1927),
    "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22(158), 209-212.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    centre = rate + z**2 / (2 * trials)
    reach = z * sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def difference_interval(won: int, lost: int, images: int, confidence: float) -> tuple[float, float]:
    """The percentile interval of the ideal bootstrap for the difference of two accuracies on the same images.

    The bootstrap draws as many images as there are, with both answers to each: Efron and Tibshirani (1993), "An
    introduction to the bootstrap", chapter 13. Each draw adds 1, -1 or 0 images to the difference, so what infinitely
    many resamples would give, the ideal bootstrap of their chapter 6, is known without a draw: the distribution of a
    sum is the power of the Fourier transform of its parts'. Where `won` and `lost` are both 0, so is the interval.
    """
    single = np.zeros(2 * images + 1)  # the probabilities of 0, 1, …, images, -images, …, -1
    single[[0, 1, -1]] = images - won - lost, won, lost
    total = np.fft.irfft(np.fft.rfft(single / images) ** images, len(single))
    cumulative = np.fft.fftshift(total).cumsum()
    low, high = np.searchsorted(cumulative, [(1 - confidence) / 2, (1 + confidence) / 2]) - images
    return float(low / images), float(high / images)


def adjusted_interval(won: int, lost: int, images: int, confidence: float) -> tuple[float, float]:
    """An interval of the difference of two accuracies on the same images that is never empty.

    It has a width also where neither won any, as is usual of INT8, and where the bootstrap's would have none.
    Bonett and Price (2012), "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", Journal of Educational and Behavioral Statistics 37(4), 479-488.
    """
    more, less = (won + 1) / (images + 2), (lost + 1) / (images + 2)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt((more + less - (more - less) ** 2) / (images + 2))
    return max(-1.0, more - less - reach), min(1.0, more - less + reach)
