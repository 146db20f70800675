"""Intervals against those of the literature and of resampling."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from mnist_pipeline.evaluation.intervals import adjusted_interval, difference_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_interval_as_published(successes: int, trials: int, expected: tuple[float, float]) -> None:
    """Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert wilson_interval(successes, trials, 0.95) == pytest.approx(expected, abs=5e-5)


def test_a_wilson_interval_of_more_confidence_is_wider() -> None:
    (low, high), (lower, higher) = (wilson_interval(90, 100, confidence) for confidence in (0.9, 0.99))
    assert lower < low < 0.9 < high < higher


@pytest.mark.parametrize(("won", "lost", "images"), [(32, 23, 2000), (9, 1, 100), (0, 7, 50), (400, 100, 1000)])
def test_the_bootstrap_interval_is_what_many_resamples_come_to(won: int, lost: int, images: int) -> None:
    outcomes = np.repeat([1, -1, 0], [won, lost, images - won - lost])
    drawn = bootstrap((outcomes,), np.mean, n_resamples=20_000, batch=1000, method="percentile", rng=1)
    expected = drawn.confidence_interval
    assert difference_interval(won, lost, images, 0.95) == pytest.approx(expected, abs=1.01 / images)


def test_the_bootstrap_interval_is_the_textbook_s_where_one_image_is_lost() -> None:
    """The number of times that 100 draws of 100 hit one image: none 0.366, one 0.370, two 0.185, three 0.061, …"""
    assert difference_interval(0, 1, 100, 0.8) == (-0.02, 0.0)
    assert difference_interval(0, 1, 100, 0.9) == (-0.03, 0.0)


def test_exchanged_models_have_the_mirrored_interval() -> None:
    low, high = difference_interval(40, 10, 500, 0.9)
    assert difference_interval(10, 40, 500, 0.9) == (-high, -low)


def test_models_that_never_differ_have_no_interval() -> None:
    assert difference_interval(0, 0, 500, 0.99) == (0, 0)


def test_the_adjusted_interval_is_that_of_the_literature() -> None:
    """Fagerland, Lydersen and Laake (2014), BMC Medical Research Methodology 14, airway hyper-responsiveness: 1 and 7
    of 21 pairs differ."""
    assert adjusted_interval(1, 7, 21, 0.95) == pytest.approx((-0.508, -0.013), abs=0.001)


def test_the_adjusted_interval_narrows_with_the_images_and_has_a_width_where_none_differs() -> None:
    low, high = adjusted_interval(0, 0, 10_000, 0.95)
    assert -0.001 < low < 0 < high < 0.001
    assert adjusted_interval(0, 0, 100, 0.95)[1] > high
    assert adjusted_interval(0, 0, 10_000, 0.99)[1] > high


def test_an_adjusted_interval_stays_within_what_a_difference_can_be() -> None:
    assert adjusted_interval(3, 0, 3, 0.999)[1] == 1
    assert adjusted_interval(0, 3, 3, 0.999)[0] == -1
