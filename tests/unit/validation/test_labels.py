"""Exactly the wrong labels are contradicted, whatever the size of the data, and exactly the near images are near."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation import duplicates, labels
from mnist_pipeline.validation.duplicates import NEAR, REACH
from mnist_pipeline.validation.labels import CONTRADICTED, contradictions

Splits = dict[SplitName, Split]


@pytest.mark.parametrize("name", ["train", "test"])
def test_exactly_the_wrong_labels_are_contradicted(splits: Splits, name: SplitName, monkeypatch) -> None:
    changed = splits[name].labels.copy()
    changed[::40] = (changed[::40] + 5) % 10
    damaged = splits | {name: Split(splits[name].images, changed)}
    whole = contradictions(damaged)
    monkeypatch.setattr(labels, "SAMPLE", 200)
    monkeypatch.setattr(labels, "CHUNK", 70)
    for found in (whole, contradictions(damaged)):
        assert np.flatnonzero(found[name] > CONTRADICTED).tolist() == list(range(0, len(changed), 40))


def test_no_image_learns_from_its_own_label(splits: Splits) -> None:
    """Labels that have nothing to do with the images agree by chance alone."""
    shuffled = np.random.default_rng(0).permutation(splits["train"].labels)
    found = contradictions(splits | {"train": Split(splits["train"].images, shuffled)})["train"]
    assert (found <= 0).mean() < 0.2


@pytest.mark.parametrize("shape", [(9, 28, 28, 1), (5, 1, 1, 1), (6, 2, 900, 3)])
def test_images_without_information_are_no_error(shape: tuple[int, ...]) -> None:
    split = Split(np.full(shape, 7, np.uint8), np.zeros(shape[0], int))
    found = contradictions({"train": split, "test": split})
    assert all(np.isfinite(values).all() for values in found.values())


def nearest_distances(*parts: np.ndarray) -> np.ndarray:
    contents = [image.tobytes().hex() for images in parts for image in images]
    return duplicates.nearest_distances(parts, np.array(contents, dtype=object))


def test_distances_are_those_to_the_nearest_other_image(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(100, 110, (60, 4, 5, 3), dtype=np.uint8)
    images[7] = images[31]
    images[8] = 240
    flat = images.reshape(60, -1).astype(float)
    expected = cdist(flat, flat) * 28 / np.sqrt(60)  # the same for images of any size
    np.fill_diagonal(expected, np.inf)
    monkeypatch.setattr(duplicates, "CANDIDATES", 59)
    monkeypatch.setattr(duplicates, "CHUNK", 11)
    found = nearest_distances(images[:23], images[23:])
    np.testing.assert_allclose(found, np.minimum(expected.min(1), REACH), rtol=1e-6)
    assert (found[7], found[8]) == (0, REACH)


def test_a_copy_that_differs_by_a_grey_level_is_near(splits: Splits) -> None:
    images = splits["train"].images.copy()
    images[5] = np.clip(images[311].astype(int) + 1, 0, 255)
    found = nearest_distances(images)
    assert np.flatnonzero(found <= NEAR).tolist() == [5, 311]
    assert (np.delete(found, [5, 311]) == REACH).all()


@pytest.mark.parametrize(
    ("images", "expected"), [([[[[3]]]], REACH), ([[[[3]]], [[[4]]]], 28), (np.zeros((20_000, 28, 28, 1)), 0)]
)
def test_few_images_and_many_that_are_equal(images, expected: float) -> None:
    assert (nearest_distances(np.array(images, np.uint8)) == expected).all()
