"""Images of any size in little memory: a few at a time, and large ones as the means of their blocks."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 7_840_000  # values of pixels that are measured at once: 10,000 images of MNIST


def chunks(count: int, size: int, most: int | None = None) -> Iterator[slice]:
    """The places of `count` images of `size` values each, as many at a time as have at most so many values."""
    step = max(1, (most or CHUNK) // size)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def gather(parts: Sequence[NDArray[np.uint8]], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images by their places in all parts, one part after the other, which are not joined."""
    images = np.empty((len(places), *parts[0].shape[1:]), np.uint8)
    start = 0
    for part in parts:
        here = (start <= places) & (places < start + len(part))
        images[here] = part[places[here] - start]
        start += len(part)
    return images


def reduced(images: NDArray[np.uint8], side: int) -> NDArray[Any]:
    """Images `[N, height, width, channels]` with at most `side` pixels a side; those that are no larger, as they are.

    Each pixel is the mean of a block; pixels at the end that fill no block are left out.
    """
    count, height, width, channels = images.shape
    tall, wide = block(images.shape, side)
    if tall == wide == 1:
        return images
    rows, columns = height // tall, width // wide
    blocks = images[:, : rows * tall, : columns * wide].reshape(count, rows, tall, columns, wide, channels)
    return np.asarray(blocks.mean((2, 4), dtype=np.float32))


def block(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Height and width of the blocks that `reduced` makes of images of this shape."""
    return ceil(shape[1] / side), ceil(shape[2] / side)
