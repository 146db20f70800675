"""How good a classifier is on parts of the images: on pale ones, blurred ones, slanted ones, small ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.comparison.intervals import wilson_interval
from mnist_pipeline.data.dataset import batch_size
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result
from mnist_pipeline.evaluation.figures import BLUE, GREY, as_png, interval_reach, over_white, without_frame

LUMA = (0.299, 0.587, 0.114)  # shares of red, green and blue in the brightness that a person sees
OF_STROKES = {"ink": " of white", "slant": "°", "stroke width": " pixels", "size": " pixels²"}  # with their units
OF_PICTURES = {"brightness": " of white", "contrast": " of white", "sharpness": "", "colourfulness": ""}


def analyse(test: EvaluationInput) -> Result:
    coloured = test.images.shape[3] > 1
    properties = [*OF_STROKES] if test.of_strokes else [*OF_PICTURES] if coloured else [*OF_PICTURES][:-1]
    table = slice_table(test.images, test.correct, properties, test.settings.confidence)
    worst = table.iloc[int(table["accuracy"].argmin())]
    card = f"""\
## Slices

![Accuracy of each quarter](figures/slices.png)

Of the quarters by {", ".join(properties)}, the least accurate is {slice_name(worst)}: \
{test.share(worst.images - worst.errors, worst.images)}."""
    figures = {"slices": draw_slices(table, test.correct.mean())}
    return Result({"worst_slice_accuracy": float(worst.accuracy)}, {"slices": table}, figures, card)


def slice_table(
    images: NDArray[np.uint8], correct: NDArray[np.bool_], properties: Sequence[str], confidence: float
) -> pd.DataFrame:
    """For each quarter of the images by each property: its bounds, images, errors and accuracy with interval.

    `correct` is whether each image `[N, height, width, channels]` was predicted right; a quarter holds its lower bound.
    """
    values_of, size = [], batch_size(images.shape)
    for start in range(0, len(images), size):
        shown = over_white(images[start : start + size]).astype(np.float64) / 255
        values_of.append([measured(name, shown) for name in properties])
    rows = []
    for name, parts in zip(properties, zip(*values_of, strict=True), strict=True):
        values = np.concatenate(parts)
        quarter = np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values, side="right")
        for number in np.unique(quarter):
            inside, right = values[quarter == number], int(correct[quarter == number].sum())
            interval = wilson_interval(right, len(inside), confidence)
            counts = len(inside), len(inside) - right, right / len(inside)
            rows.append((name, inside.min(), inside.max(), *counts, *interval))
    columns = ["property", "least", "most", "images", "errors", "accuracy", "accuracy_low", "accuracy_high"]
    return pd.DataFrame(rows, columns=columns)


def measured(name: str, shown: NDArray[np.float64]) -> Any:
    """A property `[N]`, in its unit, of images `[N, height, width, channels]`, 0 to 1."""
    from scipy.ndimage import find_objects, laplace

    grey = shown[..., 0] if shown.shape[3] == 1 else shown @ LUMA  # [N, height, width]
    match name:
        case "slant":  # of the strokes to the right, from the second moments; 0 where there is no ink
            weights = grey / np.maximum(grey.sum((1, 2), keepdims=True), 1e-9)
            rows, columns = np.arange(grey.shape[1]), np.arange(grey.shape[2])
            row, column = np.einsum("nij,i->n", weights, rows), np.einsum("nij,j->n", weights, columns)
            upright = np.einsum("nij,i,i->n", weights, rows, rows) - row**2
            mixed = np.einsum("nij,i,j->n", weights, rows, columns) - row * column
            return np.rad2deg(np.arctan2(-mixed, np.maximum(upright, 1e-9)))
        case "stroke width":  # twice the area of the ink over the length of its edge; 0 where there is none
            down, across = np.diff(grey, axis=1, prepend=0), np.diff(grey, axis=2, prepend=0)
            return 2 * grey.sum((1, 2)) / np.maximum(np.hypot(down, across).sum((1, 2)), 1e-9)
        case "size":  # of the box around the ink
            numbered = (grey > 0) * np.arange(1, len(grey) + 1)[:, None, None]
            boxes = find_objects(numbered, max_label=len(grey))
            return np.array([np.prod([side.stop - side.start for side in box[1:]]) if box else 0.0 for box in boxes])
        case "contrast":
            return grey.std((1, 2))
        case "sharpness":  # deviation of the Laplacian: how much a pixel differs from its four neighbours in all
            return laplace(grey, axes=(1, 2)).std((1, 2))
        case "colourfulness":  # of each pixel, the largest channel less the smallest
            return np.ptp(shown, axis=3).mean((1, 2))
    return grey.mean((1, 2))  # ink, or brightness


def slice_name(part: pd.Series) -> str:
    """The property and its bounds, with their unit."""
    unit = (OF_STROKES | OF_PICTURES)[part["property"]]
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
