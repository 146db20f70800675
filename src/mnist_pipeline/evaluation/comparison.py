"""Two classifiers on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_pipeline.evaluation.intervals import difference_interval

PAIR_COLUMNS = [
    "model",
    "other",
    "accuracy",
    "other_accuracy",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "won",
    "lost",
    "both_wrong",
]


@dataclass(frozen=True)
class Comparison:
    """How a candidate does against a champion.

    `lost` images the champion alone had right, `won` images the candidate alone; `p_value` is that of the exact
    McNemar test, two-sided. `worst_class` is the label whose recall falls most, and `class_drop` by how much.
    """

    images: int
    candidate_accuracy: float
    champion_accuracy: float
    won: int
    lost: int
    p_value: float
    worst_class: str
    class_drop: float


def compare(
    labels: NDArray[np.uint8],
    candidate: NDArray[np.int64],
    champion: NDArray[np.int64],
    label_names: Sequence[str],
) -> Comparison:
    """Compares predictions `[N]` of both with the labels `[N]`."""
    right, right_before = candidate == labels, champion == labels
    won, lost = won_and_lost(right, right_before)
    drops = {label: right_before[labels == label].mean() - right[labels == label].mean() for label in np.unique(labels)}
    worst = max(drops, key=lambda label: float(drops[label]))
    return Comparison(
        images=len(labels),
        candidate_accuracy=float(right.mean()),
        champion_accuracy=float(right_before.mean()),
        won=won,
        lost=lost,
        p_value=mcnemar(won, lost),
        worst_class=label_names[worst],
        class_drop=float(drops[worst]),
    )


def won_and_lost(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """How many images one classifier alone has right, and how many the other alone."""
    return int((right & ~other).sum()), int((~right & other).sum())


def mcnemar(won: int, lost: int) -> float:
    """The p-value, two-sided and exact, of the numbers of images that one of two classifiers alone had right.

    No other image is asked: if the two were equally good, each of these would fall to either side with probability
    1/2: McNemar (1947), "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12(2), 153-157; exact by the binomial.
    """
    from scipy.stats import binomtest

    return float(binomtest(lost, won + lost).pvalue) if won + lost else 1.0


def pair_table(predictions: Mapping[str, pd.DataFrame], confidence: float) -> pd.DataFrame:
    """The first model against each other one: a row for each, and none where there is a single model.

    `predictions` has a table for each model, by its name, with the columns label and predicted; a row of one is of the
    same image as that of another. `difference` is the accuracy of the first less that of the other, with its interval
    at `confidence`; `won` images the first alone had right, `lost` images the other alone.
    """
    right = {name: (table["label"] == table["predicted"]).to_numpy() for name, table in predictions.items()}
    first, *others = right
    return pd.DataFrame([_pair(first, other, right, confidence) for other in others], columns=PAIR_COLUMNS)


def _pair(first: str, other: str, right: Mapping[str, NDArray[np.bool_]], confidence: float) -> tuple[Any, ...]:
    mine, its = right[first], right[other]
    won, lost = won_and_lost(mine, its)
    difference = (won - lost) / len(mine)
    interval = difference_interval(won, lost, len(mine), confidence)
    both_wrong = int((~mine & ~its).sum())
    p_value = float(f"{mcnemar(won, lost):.4g}")
    return first, other, mine.mean(), its.mean(), difference, *interval, p_value, won, lost, both_wrong


def tell(summary: Mapping[str, Any], models: Sequence[str], confidence: float) -> list[str]:
    """The numbers of a comparison of models, in a line for each pair and one for the images that all models miss."""
    lines = [
        f"{pair}: {100 * found['difference']:+.2f} points of accuracy, {100 * found['difference_low']:+.2f} to "
        f"{100 * found['difference_high']:+.2f} at {100 * confidence:g}% confidence; {found['won']:,} images won, "
        f"{found['lost']:,} lost, exact McNemar p = {found['p_value']:.2g}"
        for pair, found in summary["pairs"].items()
    ]
    missed, suspected = summary["missed_by_all"], summary["suspected_labels"]
    return [*lines, f"{missed:,} images missed by {together(models)}, {suspected:,} of their labels suspected"]


def together(models: Sequence[str]) -> str:
    """How a line or a heading names them: more than two would fill it."""
    return " and ".join(models) if len(models) < 3 else f"all {len(models)} models"
