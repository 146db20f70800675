"""Where the ink is, counted by hand."""

import numpy as np

from mnist_pipeline.data.geometry import centres_of_mass, extents


def test_the_centre_of_mass_is_weighed_by_brightness() -> None:
    images = np.zeros((2, 4, 5), np.uint8)
    images[0, 1, 4], images[0, 3, 0] = 30, 90
    row, column = centres_of_mass(images)
    assert row.tolist() == [2.5, 0]
    assert column.tolist() == [1, 0]


def test_an_extent_runs_from_the_first_to_the_last() -> None:
    inked = np.array([[0, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=bool)
    first, length = extents(inked)
    assert first.tolist() == [1, 4, 0]
    assert length.tolist() == [3, 1, 0]
