"""Any number of images, asked about in batches: the memory that a network takes does not grow with them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH_SIZE = 1000


def in_batches(ask: Callable[[NDArray[np.uint8]], NDArray[Any]], images: NDArray[np.uint8]) -> NDArray[Any]:
    """What `ask` answers of all images `[N, height, width]`, at least one; its answers have a row for each image."""
    return np.concatenate([ask(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE)])
