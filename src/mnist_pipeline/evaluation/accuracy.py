"""How many test images are right, in all and of each class, and which are not."""

from math import ceil

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from mnist_pipeline.comparison.intervals import bootstrap_interval, wilson_interval
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result, markdown_table
from mnist_pipeline.evaluation.figures import DOTS_PER_INCH, GREY, as_png, image_grid, shorten

LARGEST_MATRIX = 7.0  # inches
MOST_ROWS = 100  # classes in the table of the card


def analyse(test: EvaluationInput) -> Result:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    names, images, confidence = list(test.label_names), len(test.labels), test.settings.confidence
    predicted = test.logits.argmax(1).numpy()
    losses = cross_entropy(test.logits.double(), torch.tensor(test.labels).long(), reduction="none").numpy()
    pairs = len(names) * test.labels.astype(np.int64) + predicted

    def measure(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Loss, and F1 as scikit-learn's `f1_score`, whose 20 ms for 10,000 images are too long for 1,000 resamples."""
        counts = np.bincount(pairs[chosen], minlength=len(names) ** 2).reshape(len(names), -1)
        occurring = counts.sum(0) + counts.sum(1)
        f1 = 2 * np.diag(counts)[occurring > 0] / occurring[occurring > 0]  # of each class that occurs
        return np.array([losses[chosen].mean(), f1.mean()])

    correct = int(test.correct.sum())
    bounds = wilson_interval(correct, images, confidence)
    (loss, f1), (low, high) = measure(np.arange(images)), bootstrap_interval(measure, images, confidence)
    rows = [("accuracy", correct / images, *bounds), ("loss", loss, low[0], high[0]), ("f1", f1, low[1], high[1])]

    counts = confusion_matrix(test.labels, predicted, labels=range(len(names)))
    shares = precision_recall_fscore_support(test.labels, predicted, labels=range(len(names)), zero_division=0)
    columns = dict(zip(("precision", "recall", "f1"), shares, strict=False))
    # scikit-learn's own support is no whole number where no prediction is right
    per_class = pd.DataFrame({"label": names, **columns, "support": counts.sum(1), "predicted": counts.sum(0)})

    mistakes = test.predictions[~test.correct].sort_values("confidence", ascending=False, kind="stable")
    return Result(
        scalars={
            **{"accuracy": correct / images, "accuracy_low": bounds[0], "accuracy_high": bounds[1]},
            **{"errors": images - correct, "loss": loss, "f1": f1},
        },
        tables={"measures": pd.DataFrame(rows, columns=["measure", "value", "low", "high"]), "per_class": per_class},
        figures={
            "confusion": draw_confusion(counts, names),
            "mistakes": draw_mistakes(test.images, mistakes, test.settings.mistakes),
        },
        card=_card(test, rows, per_class),
    )


def _card(test: EvaluationInput, rows: list[tuple[str, float, float, float]], per_class: pd.DataFrame) -> str:
    _, loss, f1 = (f"{value:.4f} ({low:.4f}–{high:.4f})" for _, value, low, high in rows)
    of_each = []
    of_all = ""
    if len(per_class) > MOST_ROWS:
        of_all = f" Of {len(per_class):,} classes, the {MOST_ROWS} with the lowest:"
        per_class = per_class.sort_values("f1", kind="stable")[:MOST_ROWS]
    for row in per_class.to_dict("records"):
        right, images, given = row["recall"] * row["support"], row["support"], row["predicted"]
        recall = test.share(right, images) if images else "no image"
        precision = test.share(right, given) if given else "never predicted"
        of_each.append((row["label"], precision, recall, f"{row['f1']:.4f}", f"{images:,}"))
    return f"""\
## Accuracy

F1 score, mean over the classes: {f1}; cross-entropy: {loss}. In brackets: the interval at \
{100 * test.settings.confidence:g}% confidence, Wilson's or the bootstrap's.{of_all}

{markdown_table(("label", "precision", "recall", "F1 score", "images"), of_each)}"""


@as_png
def draw_confusion(counts: NDArray[np.int64], names: list[str]) -> Figure:
    """The mistakes of each true label (rows), coloured by their number; right predictions are grey.

    Of many classes the cells are too small for numbers: labels are thinned, and at last several classes share a cell.
    """
    classes, mistakes = len(names), counts * (1 - np.eye(len(names), dtype=np.int64))
    size = min(0.5, LARGEST_MATRIX / classes)  # inches of a class
    shown = range(0, classes, ceil(0.15 / size))  # inches of a label
    labels = [shorten(names[number]) for number in shown]
    length = 0.09 * max(map(len, labels))
    upright, numbered = length > size, size >= 0.2
    starts = np.arange(0, classes, max(1, round(2 / (size * DOTS_PER_INCH))))  # a cell has two pixels or more
    cells = np.add.reduceat(np.add.reduceat(mistakes, starts, axis=0), starts, axis=1)

    width = size * classes + length + (0.6 if numbered else 1.6)
    figure = Figure((max(3.6, width), size * classes + (length if upright else 0.2) + 0.9), layout="constrained")
    axes = figure.subplots()
    extent = (-0.5, classes - 0.5, classes - 0.5, -0.5)
    image = axes.imshow(cells, cmap="Blues", vmin=0, vmax=max(1, cells.max()), extent=extent)
    if numbered:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = mistakes[row, column] > 0.6 * mistakes.max()
                color = GREY if row == column else "white" if dark else "black"
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=min(9, 24 * size))
    else:
        figure.colorbar(image, label="mistakes", shrink=0.6, format="{x:,.0f}")
    axes.set_xticks(shown, labels, rotation=90 if upright else 0)
    axes.set_yticks(shown, labels)
    axes.set(xlabel="predicted label", ylabel="true label")
    figure.suptitle(f"{mistakes.sum():,} of {counts.sum():,} test images misclassified", fontsize=11)
    return figure


def draw_mistakes(images: NDArray[np.uint8], mistakes: pd.DataFrame, most: int) -> bytes:
    """The first `most` mistakes, of all images `[N, …]`, with label → predicted, confidence and number."""
    shown = mistakes.head(most)
    heading = f"The {len(shown):,} most confident of {len(mistakes):,} mistakes on the test set"
    explained = "true label → predicted label, confidence, number of the image"
    return image_grid(
        f"{heading}\n{explained}" if len(shown) else "No mistake on the test set",
        images[shown["image"].to_numpy()],
        [f"{shorten(str(row.label))} → {shorten(str(row.predicted))}" for row in shown.itertuples()],
        [f"{row.confidence:.1%}  #{row.image}" for row in shown.itertuples()],
        [False] * len(shown),
    )
