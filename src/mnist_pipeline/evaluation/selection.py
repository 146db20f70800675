"""What a classifier gains by leaving its least confident answers to a person."""

import numpy as np
import pandas as pd

COVERAGES = (1.0, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the images that are answered."""


def selection_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """For each share of the images, the most confident first: the least confidence, the errors and the accuracy.

    `predictions` has a row for each image, with its label, the predicted one and the confidence.
    """
    ordered = _ordered(predictions)
    rows = []
    for coverage in COVERAGES:
        answered = ordered.head(max(1, round(coverage * len(ordered))))
        errors = int(answered["wrong"].sum())
        rows.append((coverage, answered["confidence"].min(), len(answered), errors, 1 - errors / len(answered)))
    return pd.DataFrame(rows, columns=["coverage", "least_confidence", "images", "errors", "accuracy"])


def area_under_risk(predictions: pd.DataFrame) -> float:
    """Mean share of errors over all coverages: Geifman and El-Yaniv (2017), "Selective classification".

    Where the share of errors in all is e, it is at best e + (1 - e) log(1 - e), with every error less confident than
    what is right: Geifman, Uziel and El-Yaniv (2019), "Bias-reduced uncertainty estimation".
    """
    wrong = _ordered(predictions)["wrong"].to_numpy()
    return float((wrong.cumsum() / np.arange(1, len(wrong) + 1)).mean())


def rounded_area(area: float) -> float:
    """To four digits: it is far below one."""
    return float(f"{area:.4g}")


def _ordered(predictions: pd.DataFrame) -> pd.DataFrame:
    wrong = predictions["label"] != predictions["predicted"]
    return predictions.assign(wrong=wrong).sort_values("confidence", ascending=False, kind="stable")
