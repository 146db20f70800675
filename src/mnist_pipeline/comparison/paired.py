"""Two classifiers on the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_pipeline.comparison.intervals import difference_interval

PAIR_COLUMNS = {
    **{"model": str, "other": str, "accuracy": float, "other_accuracy": float, "difference": float},
    **{"difference_low": float, "difference_high": float, "p_value": float, "won": int, "lost": int, "both_wrong": int},
}


@dataclass(frozen=True)
class Comparison:
    """How a candidate does against a champion."""

    images: int
    candidate_accuracy: float
    champion_accuracy: float
    won: int  # images that the candidate alone has right
    lost: int  # images that the champion alone has right
    p_value: float  # of the exact McNemar test, two-sided
    worst_class: str  # the label whose recall falls most
    class_drop: float  # by how much


def compare(
    labels: NDArray[np.int64], candidate: NDArray[np.int64], champion: NDArray[np.int64], label_names: Sequence[str]
) -> Comparison:
    """Compare predictions `[N]` of both with the labels `[N]`."""
    right, right_before = candidate == labels, champion == labels
    drops = {label: right_before[labels == label].mean() - right[labels == label].mean() for label in np.unique(labels)}
    worst = max(drops, key=lambda label: float(drops[label]))
    won, lost, p_value = mcnemar(right, right_before)
    accuracies = float(right.mean()), float(right_before.mean())
    return Comparison(len(labels), *accuracies, won, lost, p_value, label_names[worst], float(drops[worst]))


def mcnemar(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int, float]:
    """How many images one classifier alone has right, how many the other alone, and the exact two-sided p-value.

    `right` and `other` are whether each image `[N]` is predicted right. If the two were equally good, each image that
    they differ in would fall to either side with probability 1/2: McNemar (1947), "Note on the sampling error of the
    difference between correlated proportions or percentages", Psychometrika 12(2), 153-157.
    """
    from scipy.stats import binomtest

    won, lost = int((right & ~other).sum()), int((other & ~right).sum())
    return won, lost, float(binomtest(lost, won + lost).pvalue) if won + lost else 1.0


def pair_table(predictions: Mapping[str, pd.DataFrame], confidence: float) -> pd.DataFrame:
    """The first model against each other one, by the tables `label`, `predicted` of the same images of each model.

    `difference` is the accuracy of the first less that of the other, with its interval at `confidence`; `won` images
    the first alone had right, `lost` images the other alone. Of a single model, the table has no rows.
    """
    correct = {name: (table["label"] == table["predicted"]).to_numpy() for name, table in predictions.items()}
    (first, right), *others = correct.items()
    rows = []
    for other, its in others:
        won, lost, p_value = mcnemar(right, its)
        interval = difference_interval(won, lost, len(right), confidence)
        accuracies = right.mean(), its.mean(), (won - lost) / len(right)
        rows.append((first, other, *accuracies, *interval, p_value, won, lost, int((~right & ~its).sum())))
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def comparison_lines(
    summary: Mapping[str, int], pairs: pd.DataFrame, models: Sequence[str], confidence: float
) -> list[str]:
    """A comparison of models in a line for each pair and one for the images that all models miss."""
    lines = [
        f"{pair['model']} against {pair['other']}: {100 * pair['difference']:+.2f} points of accuracy, "
        f"{100 * pair['difference_low']:+.2f} to {100 * pair['difference_high']:+.2f} at {100 * confidence:g}% "
        f"confidence; {pair['won']:,} images won, {pair['lost']:,} lost, exact McNemar p = {pair['p_value']:.2g}"
        for pair in pairs.to_dict("records")
    ]
    missed, suspected = summary["missed_by_all"], summary["suspected_labels"]
    return [*lines, f"{missed:,} images missed by {joined(models)}, {suspected:,} of their labels suspected"]


def joined(models: Sequence[str]) -> str:
    """The models in a line or heading; more than two names would fill it."""
    return " and ".join(models) if len(models) < 3 else f"all {len(models)} models"
