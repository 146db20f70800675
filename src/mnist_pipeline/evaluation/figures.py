"""Pictures of an evaluation, as the bytes of PNG files: equal input gives equal bytes.

They are drawn without pyplot, so that no global state is touched, and in matplotlib's own style and fonts,
whatever the user's settings. Blue, orange and grey are told apart by colour-blind readers too.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil, sqrt

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mnist_pipeline.evaluation.comparison import together

BLUE, ORANGE, GREY = "#1f6fb4", "#c8500a", "#666666"
DOTS_PER_INCH = 110


@matplotlib.style.context("default")
def draw_confusion(confusion: pd.DataFrame) -> bytes:
    """The mistakes of each true label (rows), coloured by their number; right answers are grey.

    `confusion` counts images by true (index) and predicted label (columns), both in the same order.
    """
    counts, names = confusion.to_numpy(), list(confusion.index)
    mistakes = np.where(np.eye(len(names), dtype=bool), 0, counts)
    side = 2.0 + 0.48 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mistakes, cmap="Blues", vmin=0, vmax=max(1, mistakes.max()))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = mistakes[row, column] > 0.6 * mistakes.max()
            color = GREY if row == column else "white" if dark else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(len(names)), names)
    if max(map(len, names)) > 3:
        axes.tick_params("x", labelrotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(f"{mistakes.sum():,} of {counts.sum():,} test images mistaken", fontsize=11)
    return _png(figure)


@matplotlib.style.context("default")
def draw_reliability(reliability: pd.DataFrame, scaled: pd.DataFrame, summary: Mapping[str, float]) -> bytes:
    """Accuracy against confidence for each bin, and beneath it how many images each bin holds.

    Args:
        reliability: columns confidence, accuracy and count.
        scaled: the same after temperature scaling.
        summary: the calibration errors and the temperature.
    """
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    above.plot(reliability["confidence"], reliability["accuracy"], color=BLUE, marker="o", label="as it is")
    label = f"at temperature {summary['temperature']:.2f}"
    above.plot(scaled["confidence"], scaled["accuracy"], color=ORANGE, marker="s", markersize=4, label=label)
    above.set(xlim=(0, 1.02), ylim=(0, 1.02), ylabel="accuracy")
    errors = summary["expected_calibration_error"], summary["expected_calibration_error_scaled"]
    above.set_title("Expected calibration error {:.4f}, scaled {:.4f}".format(*errors), fontsize=11)
    above.legend(loc="upper left", frameon=False)
    below.bar(reliability["confidence"], reliability["count"], width=0.02, color=BLUE)
    below.set(xlabel="confidence", ylabel="images", yscale="log", ylim=(0.5, None))
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


@matplotlib.style.context("default")
def draw_selection(selection: pd.DataFrame) -> bytes:
    """The share of errors among what is answered, against the share that is left to a person.

    `selection` has columns coverage and accuracy.
    """
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    left, errors = 100 * (1 - selection["coverage"]), 100 * (1 - selection["accuracy"])
    axes.plot(left, errors, color=BLUE, marker="o")
    axes.set(xlabel="images left to a person, %", ylabel="errors in the others, %", ylim=(0, None))
    axes.set_title(f"{errors.iloc[0]:.2f} % errors where every image is answered", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


@matplotlib.style.context("default")
def draw_slices(slices: pd.DataFrame, accuracy: float) -> bytes:
    """The accuracy on each part of the images with its interval, beside that on all.

    `slices` has columns property, least, most, accuracy, accuracy_low and accuracy_high.
    """
    figure = Figure(figsize=(6.2, 0.32 * len(slices) + 1.2), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(slices))
    middle, low, high = (100 * slices[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
    reach = np.maximum([middle - low, high - middle], 0)  # rounding may put an end on the wrong side
    axes.errorbar(middle, rows, xerr=reach, fmt="o", color=BLUE, capsize=2)
    axes.axvline(100 * accuracy, color=GREY, linestyle="--", linewidth=1)
    names = [f"{row.property} {row.least:.3g} to {row.most:.3g}" for row in slices.itertuples()]
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, %")
    axes.set_title(f"Accuracy by what the digit looks like; {accuracy:.2%} on all", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


@matplotlib.style.context("default")
def draw_robustness(robustness: pd.DataFrame, clean: float, examples: NDArray[np.uint8]) -> bytes:
    """Accuracy under each corruption (rows) at each strength (columns), beside an example of its middle strength.

    Args:
        robustness: columns corruption, strength and accuracy.
        clean: the accuracy on images as they are.
        examples: `[corruptions, height, width]`, in the order of the rows.
    """
    table = robustness.pivot(index="corruption", columns="strength", values="accuracy")
    table = table.loc[robustness["corruption"].unique()]
    figure = Figure(figsize=(6.2, 0.5 * len(table) + 1.2), layout="constrained")
    pictures, axes = figure.subplots(1, 2, width_ratios=[1, 9])
    pictures.imshow(np.vstack(list(examples)), cmap="gray", vmin=0, vmax=255, aspect="auto")
    pictures.set_axis_off()
    axes.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), accuracy in np.ndenumerate(table):
        color = "black" if accuracy > 0.5 else "white"
        axes.text(column, row, f"{accuracy:.1%}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(table.shape[1]), [str(strength) for strength in table.columns])
    axes.set_yticks(range(table.shape[0]), list(table.index))
    axes.set(xlabel="strength")
    mean = robustness["accuracy"].mean()
    axes.set_title(f"Accuracy under corruption: {mean:.1%} in the mean, {clean:.1%} without", fontsize=11)
    return _png(figure)


@matplotlib.style.context("default")
def draw_mistakes(images: NDArray[np.uint8], mistakes: pd.DataFrame, total: int) -> bytes:
    """A grid of mistaken images with true → predicted label, confidence and place in the split.

    Args:
        images: `[N, height, width]`, in the order of `mistakes`.
        mistakes: columns image, label, predicted and confidence; may be empty.
        total: how many mistakes there are, shown or not.
    """
    captions = [f"{row.label} → {row.predicted}" for row in mistakes.itertuples()]
    width = max(1.05, 0.085 * max(map(len, captions), default=0))
    columns = max(4, ceil(sqrt(2 * len(mistakes) / width)))
    rows = ceil(len(mistakes) / columns)
    figure = Figure(figsize=(columns * width, 0.6 + rows * 1.4), layout="constrained")
    figure.suptitle(_heading(len(mistakes), total), fontsize=11)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat) if rows else []
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption, row in zip(grid, images, captions, mistakes.itertuples(), strict=False):
        _draw_mistake(axes, image, caption, f"{row.confidence:.1%}  #{row.image}")
    return _png(figure)


def _heading(shown: int, total: int) -> str:
    if total == 0:
        return "No mistake on the test set"
    return f"The {shown:,} most confident of {total:,} mistakes\ntrue → predicted, confidence, number"


def _draw_mistake(axes: Axes, image: NDArray[np.uint8], caption: str, details: str) -> None:
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
    axes.set_title(caption, fontsize=10, color=ORANGE, fontweight="bold", pad=3)
    axes.text(0.5, -0.04, details, fontsize=7, color=GREY, ha="center", va="top", transform=axes.transAxes)


@matplotlib.style.context("default")
def draw_missed_by_all(images: NDArray[np.uint8], missed: pd.DataFrame, models: Sequence[str], total: int) -> bytes:
    """A grid of images that every model mistakes; those of which the label is suspected are framed.

    Args:
        images: `[N, height, width]`, in the order of `missed`.
        missed: columns image, label, suspected_label, and predicted and confidence of each model; may be empty.
        models: the names before these two, as in `lenet_predicted`.
        total: how many such images there are, shown or not.
    """
    answers = missed[[f"{model}_predicted" for model in models]].to_numpy().tolist()
    confidences = missed[[f"{model}_confidence" for model in models]].to_numpy().tolist()
    captions = [
        f"{label} → {', '.join(dict.fromkeys(given))}" for label, given in zip(missed["label"], answers, strict=True)
    ]
    details = [
        f"{', '.join(f'{value:.0%}' for value in values)}  #{image}"
        for image, values in zip(missed["image"], confidences, strict=True)
    ]
    width = max(1.15, 0.085 * max(map(len, captions), default=0), 0.062 * max(map(len, details), default=0))
    columns = max(4, ceil(sqrt(2 * len(missed) / width)))
    rows = ceil(len(missed) / columns)
    figure = Figure(figsize=(columns * width, 0.85 + rows * 1.4), layout="constrained")
    figure.suptitle(_missed_heading(len(missed), total, models), fontsize=11)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat) if rows else []
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption, detail, suspected in zip(
        grid, images, captions, details, missed["suspected_label"], strict=False
    ):
        _draw_mistake(axes, image, caption, detail)
        if suspected:
            axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=BLUE, linewidth=2))
    return _png(figure)


def _missed_heading(shown: int, total: int, models: Sequence[str]) -> str:
    who = together(models)
    if total == 0:
        return f"No test image is missed\nby {who}"
    count = f"{total:,}" if shown == total else f"{shown:,} of {total:,}"
    return f"{count} test images missed by {who}\nlabel → answer, confidences, number\nframed: the label may be wrong"


def _png(figure: Figure) -> bytes:
    """PNG without the `Software` note, which would name matplotlib's version."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return content.getvalue()
