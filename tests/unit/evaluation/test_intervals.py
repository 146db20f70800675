"""Intervals against those of the literature and of formulas."""

import numpy as np
import pytest

from mnist_pipeline.comparison.intervals import (
    adjusted_interval,
    bootstrap_interval,
    difference_interval,
    wilson_interval,
)


@pytest.mark.parametrize(("successes", "trials", "expected"), [(81, 263, (0.2553, 0.3662)), (0, 20, (0.0, 0.1611))])
def test_wilson_interval_as_published(successes: int, trials: int, expected: tuple[float, float]) -> None:
    """Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert wilson_interval(successes, trials, 0.95) == pytest.approx(expected, abs=5e-5)


def test_the_bootstrap_of_means_has_the_width_of_their_standard_errors() -> None:
    values = np.random.default_rng(1).exponential(size=(1000, 2)) * [1, 5]
    low, high = bootstrap_interval(lambda drawn: values[drawn].mean(0), len(values), 0.95)
    assert high - low == pytest.approx(2 * 1.96 * values.std(0) / len(values) ** 0.5, rel=0.1)
    again = bootstrap_interval(lambda drawn: values[drawn].mean(0), len(values), 0.95)
    assert np.array_equal(again, (low, high))


@pytest.mark.parametrize(("won", "lost", "images"), [(32, 23, 2000), (0, 7, 50)])
def test_the_difference_of_two_accuracies_has_the_interval_of_its_standard_error(
    won: int, lost: int, images: int
) -> None:
    difference = (won - lost) / images
    reach = 1.96 * ((won + lost) / images - difference**2) ** 0.5 / images**0.5
    low, high = difference_interval(won, lost, images, 0.95)
    assert (low, high) == pytest.approx((difference - reach, difference + reach), abs=0.4 * reach)
    lower, higher = difference_interval(won, lost, images, 0.999)
    assert lower < low < high < higher
    assert difference_interval(0, 0, images, 0.95) == (0, 0)


def test_the_adjusted_interval_is_that_of_the_literature() -> None:
    """Fagerland, Lydersen and Laake (2014), BMC Medical Research Methodology 14, airway hyper-responsiveness: 1 and 7
    of 21 pairs differ."""
    assert adjusted_interval(1, 7, 21, 0.95) == pytest.approx((-0.508, -0.013), abs=0.001)
    low, high = adjusted_interval(0, 0, 10_000, 0.95)
    assert -0.001 < low < 0 < high < 0.001
    assert (adjusted_interval(3, 0, 3, 0.999)[1], adjusted_interval(0, 3, 3, 0.999)[0]) == (1, -1)
