"""Where in an image its ink is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_MASS = 1e-9
"""An image without ink has its centre at (0, 0)."""


def centres_of_mass(images: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The row and the column `[N]` of the centre of mass of each image `[N, height, width]`, as pixel indices."""
    _, height, width = images.shape
    by_row, by_column = images.sum(2, dtype=np.float64), images.sum(1, dtype=np.float64)
    mass = np.maximum(by_row.sum(1), LEAST_MASS)
    return by_row @ np.arange(height) / mass, by_column @ np.arange(width) / mass


def extents(inked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each row `[N, side]` the first place that is inked, and how many places from there to the last; or 0 and 0."""
    first = inked.argmax(1)
    beyond = inked.shape[1] - inked[:, ::-1].argmax(1)
    some = inked.any(1)
    return np.where(some, first, 0), np.where(some, beyond - first, 0)
