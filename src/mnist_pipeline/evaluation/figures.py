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
EXAMPLES = 4
"""Images of each kind that is out of distribution."""
UNITS = {"ink": " of white", "slant": "°", "stroke width": " pixels", "size": " pixels²"}
"""Of the properties by which slices are cut."""


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
    """Accuracy against confidence for each bin, with its interval, and beneath it how many images each bin holds.

    Args:
        reliability: columns confidence, accuracy, accuracy_low, accuracy_high and count.
        scaled: the same after temperature scaling.
        summary: the calibration errors and the temperature.
    """
    figure = Figure(figsize=(5, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    above.text(0.03, 0.08, "perfect calibration", rotation=45, rotation_mode="anchor", color=GREY, fontsize=9)
    error, error_scaled = summary["expected_calibration_error"], summary["expected_calibration_error_scaled"]
    _draw_accuracies(above, reliability, BLUE, "o", f"as it is: expected calibration error {error:.4f}")
    label = f"at temperature {summary['temperature']:.2f}: {error_scaled:.4f}"
    _draw_accuracies(above, scaled, ORANGE, "s", label)
    above.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), ylabel="accuracy")
    figure.legend(loc="outside upper left", frameon=False)
    below.bar(reliability["confidence"], reliability["count"], width=0.02, color=BLUE)
    below.set(xlabel="confidence", ylabel="images", yscale="log", ylim=(0.5, None))
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _draw_accuracies(axes: Axes, bins: pd.DataFrame, color: str, marker: str, label: str) -> None:
    """Points without a line: between bins of few images it would leap, and draw the eye to what means least."""
    reach = _reach(bins["accuracy"], bins["accuracy_low"], bins["accuracy_high"])
    axes.errorbar(
        bins["confidence"],
        bins["accuracy"],
        yerr=reach,
        fmt=marker,
        color=color,
        linewidth=1,
        markersize=5,
        label=label,
    )


@matplotlib.style.context("default")
def draw_selection(selection: pd.DataFrame) -> bytes:
    """The share of errors among what is answered, for each share that is left to a person.

    `selection` has columns coverage, errors and accuracy.
    """
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    left, errors = 100 * (1 - selection["coverage"]), 100 * (1 - selection["accuracy"])
    bars = axes.bar(range(len(selection)), errors, color=BLUE)
    axes.bar_label(bars, [f"{count:,}" for count in selection["errors"]], padding=2, fontsize=9)
    axes.set_xticks(range(len(selection)), [f"{share:.3g}" for share in left])
    axes.set(xlabel="least confident images, left to a person, %", ylabel="errors in the others, %")
    axes.set_title("Errors that remain, their number above each bar", fontsize=11, pad=10)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


@matplotlib.style.context("default")
def draw_slices(slices: pd.DataFrame, accuracy: float) -> bytes:
    """The accuracy on each part of the images with its interval, beside that on all; properties stand apart.

    `slices` has columns property, least, most, accuracy, accuracy_low and accuracy_high.
    """
    properties = pd.factorize(slices["property"])[0]
    rows = np.arange(len(slices)) + 0.7 * properties
    figure = Figure(figsize=(6.2, 0.32 * (rows[-1] + 1) + 1.2), layout="constrained")
    axes = figure.subplots()
    middle, low, high = (100 * slices[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
    axes.errorbar(middle, rows, xerr=_reach(middle, low, high), fmt="o", color=BLUE, capsize=2)
    axes.axvline(100 * accuracy, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(rows, slice_names(slices))
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, %")
    figure.suptitle(f"Accuracy by what the digit looks like; {accuracy:.2%} on all", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def slice_names(slices: pd.DataFrame) -> list[str]:
    """What a reader calls each row of `draw_slices`: the property and its bounds, with their unit."""
    return [
        f"{row.property} {row.least:.3g} to {row.most:.3g}{UNITS[str(row.property)]}".replace("-", "−")
        for row in slices.itertuples()
    ]


@matplotlib.style.context("default")
def draw_robustness(robustness: pd.DataFrame, clean: float, examples: NDArray[np.uint8], shown: int) -> bytes:
    """Accuracy under each corruption (rows) at each strength (columns), beside an example of one strength.

    Args:
        robustness: columns corruption, strength and accuracy.
        clean: the accuracy on images as they are.
        examples: `[corruptions, height, width]`, in the order of the rows.
        shown: the strength of the examples.
    """
    table = robustness.pivot(index="corruption", columns="strength", values="accuracy")
    table = table.loc[robustness["corruption"].unique()]
    figure = Figure(figsize=(6.2, 0.5 * len(table) + 1.2), layout="constrained")
    pictures, axes = figure.subplots(1, 2, width_ratios=[1, 9])
    pictures.imshow(np.vstack(list(examples)), cmap="gray", vmin=0, vmax=255, aspect="auto")
    pictures.set(xticks=[], yticks=[], xlabel=f"at {shown}")
    axes.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), accuracy in np.ndenumerate(table):
        color = "black" if accuracy > 0.5 else "white"
        axes.text(column, row, f"{accuracy:.1%}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(table.shape[1]), [str(strength) for strength in table.columns])
    axes.set_yticks(range(table.shape[0]), list(table.index))
    axes.set(xlabel="strength")
    mean = robustness["accuracy"].mean()
    figure.suptitle(f"Accuracy under corruption: {mean:.1%} in the mean, {clean:.1%} without", fontsize=11)
    return _png(figure)


@matplotlib.style.context("default")
def draw_attack(attack: pd.DataFrame, examples: pd.DataFrame, images: NDArray[np.uint8]) -> bytes:
    """Accuracy at each strength of an attack, and beneath it what becomes of some images and of their predictions.

    Args:
        attack: columns strength and accuracy, the strength 0 among them.
        examples: a row for each image at each strength, with columns strength, image, predicted and right.
        images: `[rows of examples, height, width]`.
    """
    places = {strength: column for column, strength in enumerate(attack["strength"])}
    rows = examples["image"].nunique()
    figure = Figure(figsize=(1.05 * len(places) + 0.6, 2.2 + 1.25 * rows), layout="constrained")
    grid = figure.add_gridspec(1 + rows, len(places), height_ratios=[1.8, *[1] * rows])
    above = figure.add_subplot(grid[0, :])
    bars = above.bar(range(len(places)), 100 * attack["accuracy"], color=BLUE, width=0.6)
    above.bar_label(bars, [f"{accuracy:.1%}" for accuracy in attack["accuracy"]], padding=2, fontsize=9)
    above.set_xticks(range(len(places)), [str(strength) for strength in places])
    above.set(xlim=(-0.5, len(places) - 0.5), ylim=(0, 100), ylabel="accuracy, %")
    above.set_xlabel("grey levels of 255 by which each pixel changes at most")
    above.set_title("Accuracy under a one-step attack, and what images are taken for", fontsize=11, pad=14)
    above.spines[["top", "right"]].set_visible(False)
    columns = (examples[name] for name in ("image", "strength", "predicted", "right"))
    for number, strength, predicted, right, image in zip(*columns, images, strict=True):
        axes = figure.add_subplot(grid[1 + number, places[strength]])
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        color, weight = (GREY, "normal") if right else (ORANGE, "bold")
        axes.set_title(f"→ {predicted}", fontsize=9, color=color, fontweight=weight, pad=2)
    return _png(figure)


@matplotlib.style.context("default")
def draw_out_of_distribution(
    detection: pd.DataFrame,
    scores: Mapping[str, NDArray[np.float64]],
    examples: Mapping[str, NDArray[np.uint8]],
    threshold: float,
) -> bytes:
    """How familiar each kind of image is, beside some of them, and the bound that 95 % of the test images reach.

    Args:
        detection: columns kind, mean_confidence, auroc and fpr_at_95_tpr.
        scores: the familiarities of the images of each kind; the first kind are the test images.
        examples: images `[M, height, width]` of each kind, of which the first few are shown.
        threshold: the familiarity at which 95 % of the test images are let through.
    """
    captions = {
        row.kind: f"confidence {row.mean_confidence:.1%}, AUROC {row.auroc:.3f}, let through {row.fpr_at_95_tpr:.1%}"
        for row in detection.itertuples()
    }
    figure = Figure(figsize=(7.2, 1.05 * len(scores) + 1.1), layout="constrained")
    figure.suptitle(
        "How familiar images are that are none of the classes\n95 % of the test images are right of the dashed line",
        fontsize=11,
    )
    everything = np.concatenate(list(scores.values()))
    edges = np.histogram_bin_edges(everything, 80)
    grid = figure.subplots(len(scores), 2, width_ratios=[2, 5], squeeze=False)
    for (pictures, axes), (kind, values) in zip(grid, scores.items(), strict=True):
        _draw_row(pictures, examples[kind], kind.replace("_", " "))
        axes.hist(values, edges, color=ORANGE if kind in captions else BLUE)
        axes.axvline(threshold, color=GREY, linestyle="--", linewidth=1)
        axes.set(xlim=(edges[0], edges[-1]), yticks=[])
        axes.set_title(captions.get(kind, ""), fontsize=9, loc="left", pad=3)
        axes.spines[["top", "right", "left"]].set_visible(False)
    for axes in grid[:-1, 1]:
        axes.tick_params(labelbottom=False)
    grid[-1, 1].set_xlabel("familiarity, log Σ exp(logit)")
    return _png(figure)


def _draw_row(axes: Axes, images: NDArray[np.uint8], title: str) -> None:
    """Some of the images side by side, from all of their order."""
    chosen = images[:: max(1, len(images) // EXAMPLES)][:EXAMPLES]
    parted = np.pad(chosen, ((0, 0), (0, 0), (1, 1)), constant_values=255)
    axes.imshow(np.hstack(list(parted)), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10, loc="left", pad=3)


@matplotlib.style.context("default")
def draw_mistakes(images: NDArray[np.uint8], mistakes: pd.DataFrame, total: int) -> bytes:
    """A grid of mistaken images with true → predicted label, confidence and place in the split.

    Args:
        images: `[N, height, width]`, in the order of `mistakes`.
        mistakes: columns image, label, predicted and confidence; may be empty.
        total: how many mistakes there are, shown or not.
    """
    captions = [f"{row.label} → {row.predicted}" for row in mistakes.itertuples()]
    details = [f"{row.confidence:.1%}  #{row.image}" for row in mistakes.itertuples()]
    figure, _ = _captioned(_heading(len(mistakes), total), images, captions, details)
    return _png(figure)


def _reach(middle: pd.Series, low: pd.Series, high: pd.Series) -> NDArray[np.float64]:
    """Of an interval on either side; not below 0, as rounding may put an end on the wrong side."""
    return np.maximum([middle - low, high - middle], 0)


def _heading(shown: int, total: int) -> str:
    if total == 0:
        return "No mistake on the test set"
    return f"The {shown:,} most confident of {total:,} mistakes\ntrue → predicted, confidence, number"


def _captioned(
    heading: str, images: NDArray[np.uint8], captions: Sequence[str], details: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """A grid of images `[N, height, width]`, about as wide as high, each between its caption and its details."""
    width = max(1.05, 0.085 * max(map(len, captions), default=0), 0.062 * max(map(len, details), default=0))
    columns = max(4, ceil(sqrt(2 * len(captions) / width)))
    rows = ceil(len(captions) / columns)
    lines = heading.count("\n") + 1
    figure = Figure(figsize=(columns * width, 0.1 + 0.25 * lines + rows * 1.4), layout="constrained")
    figure.suptitle(heading, fontsize=11)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat) if rows else []
    for axes in grid:
        axes.set_axis_off()
    for axes, image, caption, detail in zip(grid, images, captions, details, strict=False):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=10, color=ORANGE, fontweight="bold", pad=3)
        axes.text(0.5, -0.04, detail, fontsize=7, color=GREY, ha="center", va="top", transform=axes.transAxes)
    return figure, grid


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
    figure, grid = _captioned(_missed_heading(len(missed), total, models), images, captions, details)
    for axes, suspected in zip(grid, missed["suspected_label"], strict=False):
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
