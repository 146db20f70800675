"""How good a classifier is on parts of the images: on pale ones, slanted ones, thin ones, small ones."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.comparison.intervals import wilson_interval
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result
from mnist_pipeline.evaluation.figures import BLUE, GREY, as_png, interval_reach, without_frame

Pixels = NDArray[np.float64]


def analyse(test: EvaluationInput) -> Result:
    table = slice_table(test.images, test.correct, test.settings.confidence)
    worst = table.iloc[int(table["accuracy"].argmin())]
    card = f"""\
## Slices

![Accuracy of each quarter](figures/slices.png)

Of the quarters by {", ".join(PROPERTIES)}, the least accurate is {slice_name(worst)}: \
{test.share(worst.images - worst.errors, worst.images)}."""
    figures = {"slices": draw_slices(table, test.correct.mean())}
    return Result({"worst_slice_accuracy": float(worst.accuracy)}, {"slices": table}, figures, card)


def slice_table(images: NDArray[np.uint8], correct: NDArray[np.bool_], confidence: float) -> pd.DataFrame:
    """For each quarter of the images by each property: its bounds, images, errors and accuracy with interval.

    `correct` is whether each image `[N, height, width]` was predicted right; a quarter holds its lower bound.
    """
    pixels = images.astype(np.float64) / 255
    rows = []
    for name, (measure, _) in PROPERTIES.items():
        values = measure(pixels)
        quarter = np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values, side="right")
        for number in np.unique(quarter):
            inside, right = values[quarter == number], int(correct[quarter == number].sum())
            interval = wilson_interval(right, len(inside), confidence)
            counts = len(inside), len(inside) - right, right / len(inside)
            rows.append((name, inside.min(), inside.max(), *counts, *interval))
    columns = ["property", "least", "most", "images", "errors", "accuracy", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(rows, columns=columns)


def _slant(pixels: Pixels) -> Pixels:
    """Degrees by which the strokes lean to the right, from the second moments; 0 where there is no ink."""
    _, height, width = pixels.shape
    weights = pixels / np.maximum(pixels.sum((1, 2), keepdims=True), 1e-9)
    rows, columns = np.arange(height), np.arange(width)
    row, column = np.einsum("nij,i->n", weights, rows), np.einsum("nij,j->n", weights, columns)
    upright = np.einsum("nij,i,i->n", weights, rows, rows) - row**2
    mixed = np.einsum("nij,i,j->n", weights, rows, columns) - row * column
    degrees: Pixels = np.rad2deg(np.arctan2(-mixed, np.maximum(upright, 1e-9)))
    return degrees


def _stroke_width(pixels: Pixels) -> Pixels:
    """Pixels across a stroke: twice the area of the ink over the length of its edge; 0 where there is none."""
    down, across = np.diff(pixels, axis=1, prepend=0), np.diff(pixels, axis=2, prepend=0)
    edge = np.hypot(down, across).sum((1, 2))
    widths: Pixels = 2 * pixels.sum((1, 2)) / np.maximum(edge, 1e-9)
    return widths


def _size(pixels: Pixels) -> Pixels:
    """Pixels of the box around the ink."""
    from scipy.ndimage import find_objects

    numbered = (pixels > 0) * np.arange(1, len(pixels) + 1)[:, None, None]
    boxes = find_objects(numbered, max_label=len(pixels))
    return np.array([np.prod([side.stop - side.start for side in box[1:]]) if box else 0 for box in boxes], np.float64)


PROPERTIES: dict[str, tuple[Callable[[Pixels], Pixels], str]] = {
    "ink": (lambda pixels: pixels.mean((1, 2)), " of white"),
    "slant": (_slant, "°"),
    "stroke width": (_stroke_width, " pixels"),
    "size": (_size, " pixels²"),
}
"""Each with the unit of its bounds."""


def slice_name(part: pd.Series) -> str:
    """The property and its bounds, with their unit."""
    unit = PROPERTIES[part["property"]][1]
    return f"{part['property']} {part['least']:.3g} to {part['most']:.3g}{unit}".replace("-", "−")


@as_png
def draw_slices(table: pd.DataFrame, accuracy: float) -> Figure:
    """The accuracy on each part of the images with its interval, beside that on all; properties stand apart."""
    places = np.arange(len(table)) + 0.7 * pd.factorize(table["property"])[0]
    figure = Figure(figsize=(6.2, 0.32 * (places[-1] + 1) + 1.2), layout="constrained")
    axes = figure.subplots()
    middle, low, high = (100 * table[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
    axes.errorbar(middle, places, xerr=interval_reach(middle, low, high), fmt="o", color=BLUE, capsize=2)
    axes.axvline(100 * accuracy, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(places, table.apply(slice_name, axis=1))
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, %")
    figure.suptitle(f"Accuracy on quarters of the test images\ndashed: {accuracy:.2%} on all of them", fontsize=11)
    without_frame(axes)
    return figure
