"""Each corruption does what its name promises, more so at each strength, and the same each time."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import bars
from mnist_pipeline.evaluation.corruptions import CORRUPTIONS, PASSES, analyse, corrupted

Corrupted = dict[tuple[str, int], NDArray[np.float64]]


IMAGES = bars(300, seed=4)[0].astype(float)


@pytest.fixture(scope="module")
def found() -> Corrupted:
    raw = IMAGES.astype(np.uint8)[..., None]
    return {
        (name, level): np.concatenate(list(parts))[..., 0].astype(float)
        for name, level, _, parts in corrupted(raw, True)
    }


ROWS, COLUMNS = np.mgrid[-13.5:14.5, -13.5:14.5]


def moment(images: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the weights of all places, by their ink."""
    return (images * weights).sum((1, 2)) / images.sum((1, 2))


def centres(images: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([moment(images, ROWS), moment(images, COLUMNS)], axis=1)


def angles(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the longer axis, in degrees."""
    down, across, mixed = (moment(images, product) for product in (ROWS**2, COLUMNS**2, ROWS * COLUMNS))
    return np.rad2deg(0.5 * np.arctan2(2 * mixed, across - down))


def spread(images: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(moment(images, ROWS**2 + COLUMNS**2))


def test_each_strength_changes_more_than_the_one_before(found: Corrupted) -> None:
    assert list(found) == [(name, strength) for name in CORRUPTIONS for strength in range(1, 6)]
    for name in CORRUPTIONS:
        changed = [0, *(np.abs(found[name, strength] - IMAGES).mean() for strength in range(1, 6))]
        assert all(after > before for before, after in pairwise(changed)), name


@pytest.mark.parametrize("level", [1, 3])
def test_strengths_are_in_the_units_of_their_corruption(found: Corrupted, level: int) -> None:
    strength = {name: values[level - 1] for name, values in CORRUPTIONS.items()}
    moved = np.hypot(*(centres(found["shift", level]) - centres(IMAGES)).T)
    assert moved == pytest.approx(strength["shift"], abs=0.2)
    turned = (angles(found["rotation", level]) - angles(IMAGES) + 90) % 180 - 90
    assert np.abs(turned) == pytest.approx(strength["rotation"], abs=2)
    assert 0.4 < (turned > 0).mean() < 0.6, "either direction is taken by about half of the images"
    larger = spread(found["scale", level]) / spread(IMAGES)
    assert np.minimum(np.abs(larger - strength["scale"]), np.abs(larger - 1 / strength["scale"])).max() < 0.06
    assert 0.4 < (larger > 1).mean() < 0.6
    assert 0.4 < (found["thickness", level].sum((1, 2)) > IMAGES.sum((1, 2))).mean() < 0.6
    assert found["contrast", level].sum() == pytest.approx((1 - strength["contrast"]) * IMAGES.sum(), rel=0.01)
    assert found["inversion", level][:, 0, 0] == pytest.approx(255 * strength["inversion"], abs=1)
    hidden = (IMAGES > 0) & (found["occlusion", level] == 0)
    assert hidden.sum((1, 2)).max() <= strength["occlusion"] ** 2


def test_the_scalars_are_the_mean_and_the_worst_of_the_table(given) -> None:
    seen: list[int] = []
    found = analyse(replace(given, on_progress=seen.append))
    table = found.tables["corruptions"]
    assert table["value"].tolist() == [value for values in CORRUPTIONS.values() for value in values]
    mean, worst = pytest.approx(table["accuracy"].mean()), table["accuracy"].min()
    assert found.scalars == {"corruption_accuracy": mean, "corruption_accuracy_worst": worst}
    means = table.groupby("corruption")["accuracy"].mean()
    assert found.card.index(f"| {means.idxmin()} |") < found.card.index(f"| {means.idxmax()} |")
    assert sum(seen) == PASSES * len(given.images)


@pytest.mark.parametrize(("shape", "times"), [((28, 28, 3), 1), ((56, 84, 4), 2), ((7, 7, 1), 0.25)])
def test_pictures_of_any_shape_are_corrupted_by_what_means_something_for_them(pictures, shape, times: float) -> None:
    given = pictures(shape, ["cat", "dog", "owl"])
    found = {(name, level): (value, list(parts)) for name, level, value, parts in corrupted(given.images, False)}
    assert {name for name, _ in found} == CORRUPTIONS.keys() - {"thickness", "inversion"}
    assert all(part.shape == (40, *shape) and part.dtype == np.uint8 for _, (part,) in found.values())
    lengths = {name: found[name, 1][0] for name in ("shift", "blur", "occlusion")}
    assert lengths == pytest.approx({"shift": times, "blur": 0.5 * times, "occlusion": 4 * times})
    assert found["rotation", 1][0] == 10
    for name in ("noise", "contrast", "occlusion"):
        (part,) = found[name, 3][1]
        assert not np.array_equal(part, given.images)
        assert np.array_equal(part[..., 3:], given.images[..., 3:]), "opacity stays"
    seen: list[int] = []
    assert "under eight corruptions" in analyse(replace(given, on_progress=seen.append)).card
    assert sum(seen) == PASSES * 40


def test_what_comes_in_from_outside_a_picture_continues_its_edge() -> None:
    plain = np.full((20, 28, 42, 3), [200, 100, 50], np.uint8)
    for name, level, _, (part,) in corrupted(plain, False):
        if name not in ("noise", "occlusion"):
            changed = np.abs(part.astype(int) - plain).max()
            assert (changed > 9) == (name == "contrast"), (name, level)


def test_a_rotation_of_a_wide_picture_keeps_right_angles() -> None:
    """A wide cross whose arms have one length still has it."""
    cross = np.zeros((2, 40, 80, 1), np.uint8)
    cross[:, 18:22, 28:52] = cross[:, 8:32, 38:42] = 255
    turned = {level: part for name, level, _, (part,) in corrupted(cross, False) if name == "rotation"}[5]
    rows, columns = (np.flatnonzero((turned[0, ..., 0] > 99).any(axis)) for axis in (1, 0))
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=1)


def test_images_in_several_parts_are_corrupted_by_their_number_alone(monkeypatch) -> None:
    """The parts of a set hold no more pixels than fit into memory."""
    monkeypatch.setattr("mnist_pipeline.data.dataset.BATCH", 7 * 784)
    raw = IMAGES[:40].astype(np.uint8)[..., None]
    parts = {name: list(parts) for name, level, _, parts in corrupted(raw, True) if level == 5}
    assert all([len(part) for part in found] == [14, 14, 12] for found in parts.values())
    assert np.array_equal(np.concatenate(parts["inversion"]), 255 - raw)
