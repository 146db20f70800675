"""How good a classifier is on parts of the images: on pale ones, slanted ones, thin ones, small ones."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_pipeline.data.geometry import centres_of_mass, extents
from mnist_pipeline.evaluation.intervals import wilson_interval
from mnist_pipeline.evaluation.metrics import DECIMALS

PARTS = 4
"""Each property is cut into as many parts of about as many images."""
Pixels = NDArray[np.float64]


def slice_table(images: NDArray[np.uint8], correct: NDArray[np.bool_], confidence: float) -> pd.DataFrame:
    """A row for each part of the images by each property: its bounds, images, errors and accuracy with interval.

    `correct` says for each image `[N, height, width]` whether its prediction was; bounds hold their lower end.
    """
    pixels = images.astype(np.float64) / 255
    rows = []
    for name, measure in PROPERTIES.items():
        values = measure(pixels)
        inner = np.quantile(values, np.arange(1, PARTS) / PARTS)
        part = np.searchsorted(inner, values, side="right")
        for number in np.unique(part):
            chosen = part == number
            right, count = int(correct[chosen].sum()), int(chosen.sum())
            low, high = wilson_interval(right, count, confidence)
            bounds = values[chosen].min(), values[chosen].max()
            rows.append((name, *bounds, count, count - right, right / count, low, high))
    columns = ["property", "least", "most", "images", "errors", "accuracy", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(rows, columns=columns)


def worst_slice(slices: pd.DataFrame) -> dict[str, float]:
    """The accuracy of the part with the lowest one, and the ends of its interval."""
    worst = slices.iloc[int(slices["accuracy"].argmin())]
    return {f"worst_slice{end}": round(float(worst[f"accuracy{end}"]), DECIMALS) for end in ("", "_low", "_high")}


def _ink(pixels: Pixels) -> Pixels:
    """Mean brightness."""
    ink: Pixels = pixels.mean((1, 2))
    return ink


def _slant(pixels: Pixels) -> Pixels:
    """Degrees by which the strokes lean to the right, from the second moments; 0 where there is no ink."""
    _, height, width = pixels.shape
    rows, columns = np.arange(height)[:, None], np.arange(width)
    row, column = (centre[:, None, None] for centre in centres_of_mass(pixels))
    upright = (pixels * (rows - row) ** 2).sum((1, 2))
    mixed = (pixels * (rows - row) * (columns - column)).sum((1, 2))
    slant: Pixels = np.rad2deg(np.arctan2(-mixed, np.maximum(upright, 1e-9)))
    return slant


def _stroke_width(pixels: Pixels) -> Pixels:
    """Pixels across a stroke: twice the area of the ink over the length of its edge; 0 where there is none."""
    down, across = np.diff(pixels, axis=1, prepend=0), np.diff(pixels, axis=2, prepend=0)
    edge = np.hypot(down, across).sum((1, 2))
    width: Pixels = 2 * pixels.sum((1, 2)) / np.maximum(edge, 1e-9)
    return width


def _size(pixels: Pixels) -> Pixels:
    """Pixels of the box around the ink."""
    inked = pixels > 0
    height, width = (extents(np.any(inked, axis=axis))[1] for axis in (2, 1))
    return (height * width).astype(np.float64)


PROPERTIES: dict[str, Callable[[Pixels], Pixels]] = {
    "ink": _ink,
    "slant": _slant,
    "stroke width": _stroke_width,
    "size": _size,
}
