"""Each corruption does what its name says, more so at each strength, and the same each time."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from conftest import bars
from mnist_pipeline.evaluation.corruptions import CORRUPTIONS, corrupted
from mnist_pipeline.evaluation.robustness import robustness_summary

Corrupted = dict[tuple[str, int], NDArray[np.float64]]


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return bars(300, seed=4)[0]


@pytest.fixture(scope="module")
def found(images: NDArray[np.uint8]) -> Corrupted:
    return {(name, strength): result.astype(float) for name, strength, result in corrupted(images)}


def strengths(name: str) -> tuple[float, ...]:
    return CORRUPTIONS[name][1]


def centres(images: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.arange(28) - 13.5
    mass = images.sum((1, 2))
    return np.stack([images.sum(2) @ places / mass, images.sum(1) @ places / mass], axis=1)


def angles(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the longer axis, in degrees."""
    rows, columns = np.mgrid[-13.5:14.5, -13.5:14.5]
    down, across, mixed = ((images * product).sum((1, 2)) for product in (rows**2, columns**2, rows * columns))
    return np.rad2deg(0.5 * np.arctan2(2 * mixed, across - down))


def spread(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard distance of ink from the middle."""
    rows, columns = np.mgrid[-13.5:14.5, -13.5:14.5]
    return np.sqrt((images * (rows**2 + columns**2)).sum((1, 2)) / images.sum((1, 2)))


def test_there_are_five_strengths_of_each_and_the_images_stay_images(
    found: Corrupted, images: NDArray[np.uint8]
) -> None:
    assert list(found) == [(name, strength) for name in CORRUPTIONS for strength in range(1, 6)]
    assert all(result.shape == images.shape for result in found.values())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_strength_changes_more_than_the_one_before(found: Corrupted, images: NDArray[np.uint8], name: str) -> None:
    changed = [np.abs(found[name, strength] - images).mean() for strength in range(1, 6)]
    assert changed[0] > 0
    assert all(after > before for before, after in pairwise(changed))


def test_they_are_the_same_each_time(found: Corrupted, images: NDArray[np.uint8]) -> None:
    again = {(name, strength): result for name, strength, result in corrupted(images)}
    assert all(np.array_equal(again[key], result) for key, result in found.items())


@pytest.mark.parametrize("level", range(1, 4))
def test_strengths_are_in_the_units_of_their_corruption(
    found: Corrupted, images: NDArray[np.uint8], level: int
) -> None:
    clean = images.astype(float)
    moved = np.hypot(*(centres(found["shift", level]) - centres(clean)).T)
    assert moved == pytest.approx(strengths("shift")[level - 1], abs=0.2)
    turned = (angles(found["rotation", level]) - angles(clean) + 90) % 180 - 90
    assert np.abs(turned) == pytest.approx(strengths("rotation")[level - 1], abs=2)
    larger = spread(found["scale", level]) / spread(clean)
    factor = strengths("scale")[level - 1]
    assert np.minimum(np.abs(larger - factor), np.abs(larger - 1 / factor)).max() < 0.06
    assert found["contrast", level].sum() == pytest.approx(
        (1 - strengths("contrast")[level - 1]) * clean.sum(), rel=0.01
    )
    ground = found["inversion", level][:, 0, 0]
    assert ground == pytest.approx(255 * strengths("inversion")[level - 1], abs=1)
    hidden = (clean > 0) & (found["occlusion", level] == 0)
    assert hidden.sum((1, 2)).max() <= strengths("occlusion")[level - 1] ** 2


def test_either_direction_is_taken_by_about_half_of_the_images(found: Corrupted, images: NDArray[np.uint8]) -> None:
    ink = images.sum((1, 2))
    for name in ("scale", "thickness"):
        assert 0.4 < (found[name, 3].sum((1, 2)) > ink).mean() < 0.6
    turned = (angles(found["rotation", 1]) - angles(images.astype(float)) + 90) % 180 - 90
    assert 0.4 < (turned > 0).mean() < 0.6


def test_the_summary_has_the_mean_the_worst_and_each_corruption() -> None:
    rows = [("noise", 1, 0.9), ("noise", 2, 0.5), ("blur", 1, 1.0), ("blur", 2, 0.8)]
    summary = robustness_summary(pd.DataFrame(rows, columns=["corruption", "strength", "accuracy"]))
    assert summary == {"mean": 0.8, "worst": 0.5, "noise": 0.7, "blur": 0.9}
