"""What is gained where the least confident predictions are left to a person."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_pipeline.comparison.intervals import bootstrap_interval
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result
from mnist_pipeline.evaluation.figures import BLUE, as_png, without_frame

COVERAGES = (1.0, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # shares of the images that the model predicts


def analyse(test: EvaluationInput) -> Result:
    ordered = test.predictions.assign(wrong=~test.correct).sort_values("confidence", ascending=False, kind="stable")
    wrong, confidence = ordered["wrong"].to_numpy(), test.settings.confidence
    area, table = area_under_risk(wrong), selection_table(ordered)
    low, high = bootstrap_interval(lambda chosen: area_under_risk(wrong[np.sort(chosen)]), len(wrong), confidence)
    remaining = int(table.loc[table["coverage"] == 0.95, "errors"].iloc[0])
    card = f"""\
## Selective prediction

![Errors that remain](figures/selection.png)

Area under the risk-coverage curve {area:.1e} ({low:.1e}–{high:.1e}); without the least confident 5%, {remaining:,} \
errors remain."""
    risk = pd.DataFrame([("area_under_risk", area, low, high)], columns=["measure", "value", "low", "high"])
    return Result({}, {"selection": table, "risk": risk}, {"selection": draw_selection(table)}, card)


def area_under_risk(wrong: NDArray[np.bool_]) -> float:
    """Mean share of errors over all coverages, of whether predictions are wrong, the most confident first.

    Geifman and El-Yaniv (2017), "Selective classification for deep neural networks", NeurIPS. Where the share of
    errors in all is e, it is at best e + (1 - e) log(1 - e), with every error less confident than what is right:
    Geifman, Uziel and El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR.
    """
    return float((wrong.cumsum() / np.arange(1, len(wrong) + 1)).mean())


def selection_table(ordered: pd.DataFrame) -> pd.DataFrame:
    """Least confidence, errors and accuracy of each share of the predictions (`confidence`, `wrong`), surest first."""
    rows = []
    for coverage in COVERAGES:
        kept = ordered.head(max(1, round(coverage * len(ordered))))
        errors = int(kept["wrong"].sum())
        rows.append((coverage, kept["confidence"].min(), len(kept), errors, 1 - errors / len(kept)))
    return pd.DataFrame(rows, columns=["coverage", "least_confidence", "images", "errors", "accuracy"])


@as_png
def draw_selection(table: pd.DataFrame) -> Figure:
    """The share of errors among what the model predicts, for each share that is left to a person."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    left, errors = 100 * (1 - table["coverage"]), 100 * (1 - table["accuracy"])
    bars = axes.bar(range(len(table)), errors, color=BLUE)
    axes.bar_label(bars, [f"{count:,}" for count in table["errors"]], padding=2, fontsize=9)
    axes.set_xticks(range(len(table)), [f"{share:.3g}" for share in left])
    axes.set(xlabel="least confident images left to a person, %", ylabel="errors among the others, %")
    axes.set_title("Errors that remain if a person labels the least confident images", fontsize=11, pad=10)
    without_frame(axes)
    return figure
