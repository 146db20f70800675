"""Images that stand twice, or nearly, are found; all others have no near neighbour."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation import neighbours
from mnist_pipeline.validation.neighbours import NEAR, REACH

random = np.random.default_rng(0)


def nearest_distances(images: np.ndarray) -> np.ndarray:
    return neighbours.nearest_distances(images, [image.tobytes().hex() for image in images])


def test_distances_are_those_to_the_nearest_other_image(monkeypatch: pytest.MonkeyPatch) -> None:
    images = random.integers(100, 110, (60, 4, 5), dtype=np.uint8)
    images[7] = images[31]
    flat = images.reshape(60, -1).astype(float)
    expected = cdist(flat, flat)
    np.fill_diagonal(expected, np.inf)
    monkeypatch.setattr(neighbours, "CANDIDATES", 59)
    monkeypatch.setattr(neighbours, "CHUNK", 11)
    np.testing.assert_allclose(nearest_distances(images), np.minimum(expected.min(1), REACH), rtol=1e-6)


@pytest.mark.parametrize("change", [0, 1, -1])
def test_a_copy_that_differs_by_a_grey_level_is_near(splits: dict[SplitName, Split], change: int) -> None:
    images = splits["train"].images.copy()
    images[5] = np.clip(images[311].astype(int) + change, 0, 255)
    assert np.flatnonzero(nearest_distances(images) <= NEAR).tolist() == [5, 311]


def test_unlike_images_have_none_within_reach(splits: dict[SplitName, Split]) -> None:
    assert (nearest_distances(splits["train"].images) == REACH).all()


def test_one_content_for_all_is_found_at_once() -> None:
    assert (nearest_distances(np.zeros((20_000, 28, 28), np.uint8)) == 0).all()


def test_one_image_has_no_neighbour() -> None:
    assert nearest_distances(np.zeros((1, 3, 3), np.uint8)).tolist() == [REACH]
