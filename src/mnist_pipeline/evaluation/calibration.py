"""Whether the confidence of a prediction is the share of such predictions that are right.

Guo et al. (2017), "On calibration of modern neural networks", ICML: the expected calibration error, and temperature
scaling, the one number that brings confidence to what it should be.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from mnist_pipeline.comparison.intervals import bootstrap_interval, wilson_interval
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result
from mnist_pipeline.evaluation.figures import BLUE, GREY, ORANGE, as_png, interval_reach, without_frame


def analyse(test: EvaluationInput) -> Result:
    bins, confidence = test.settings.calibration_bins, test.settings.confidence
    temperature = fit_temperature(test.validation_logits, test.validation_labels)
    at_temperature = replace(test, logits=test.logits / temperature)
    as_it_is, scaled = (reliability_table(at.predictions, bins, confidence) for at in (test, at_temperature))
    error, error_scaled = calibration_error(as_it_is), calibration_error(scaled)

    sure = test.predictions["confidence"].to_numpy()
    in_bin, excess = confidence_bins(sure, bins), sure - test.correct
    low, high = bootstrap_interval(
        lambda chosen: np.abs(np.bincount(in_bin[chosen], excess[chosen])).sum() / len(chosen), len(sure), confidence
    )
    loss_scaled = float(cross_entropy(at_temperature.logits.double(), torch.tensor(test.labels).long()))
    measures = [("calibration_error", error, low, high), ("temperature", temperature, None, None)]
    measures += [("calibration_error_scaled", error_scaled, None, None), ("loss_scaled", loss_scaled, None, None)]
    tables = {
        "calibration": pd.DataFrame(measures, columns=["measure", "value", "low", "high"]),
        "reliability": pd.concat([as_it_is.assign(temperature=1.0), scaled.assign(temperature=temperature)]),
    }
    card = f"""\
## Calibration

![Accuracy at each confidence](figures/reliability.png)

Expected calibration error {error:.4f} ({low:.4f}–{high:.4f}); {error_scaled:.4f} at the temperature \
{temperature:.2f}, fitted on the validation set."""
    figures = {"reliability": draw_reliability(as_it_is, scaled, temperature)}
    return Result({"calibration_error": error}, tables, figures, card)


def confidence_bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """In which of `bins` equal intervals, open below and closed above, each confidence `[N]` lies, from 0."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)


def reliability_table(predictions: pd.DataFrame, bins: int, confidence: float) -> pd.DataFrame:
    """Mean confidence, accuracy and count of images in each of `bins` equal intervals of confidence that holds any.

    `accuracy_low` and `accuracy_high` bound the accuracy with the given confidence.
    """
    correct = predictions["label"] == predictions["predicted"]
    groups = predictions.assign(correct=correct).groupby(confidence_bins(predictions["confidence"].to_numpy(), bins))
    right, counts = groups["correct"].sum(), groups.size()
    low, high = np.transpose([wilson_interval(*of, confidence) for of in zip(right, counts, strict=True)])
    table = {"confidence": groups["confidence"].mean(), "accuracy": right / counts, "count": counts}
    return pd.DataFrame({**table, "accuracy_low": low, "accuracy_high": high}).reset_index(drop=True)


def calibration_error(reliability: pd.DataFrame) -> float:
    """Mean distance of confidence from accuracy over the bins, weighted by their images."""
    distance = (reliability["accuracy"] - reliability["confidence"]).abs()
    return float((distance * reliability["count"]).sum() / reliability["count"].sum())


def fit_temperature(logits: Tensor, labels: NDArray[np.int64]) -> float:
    """The number by which logits `[N, classes]` are divided so that their cross-entropy with labels `[N]` is least.

    Above 1 the classifier was too sure, below 1 not sure enough. The order of the classes stays.
    """
    from scipy.optimize import minimize_scalar

    exact, truth = logits.double(), torch.tensor(labels).long()

    def loss(logarithm: float) -> float:
        return float(cross_entropy(exact / np.exp(logarithm), truth))

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.05, 20.0]), options={"xatol": 1e-4}).x))


@as_png
def draw_reliability(reliability: pd.DataFrame, scaled: pd.DataFrame, temperature: float) -> Figure:
    """Accuracy against confidence for each bin, with its interval, and beneath it how many images each bin holds."""
    figure = Figure(figsize=(5, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    above.text(0.03, 0.08, "perfect calibration", rotation=45, rotation_mode="anchor", color=GREY, fontsize=9)
    for bins, color, marker, name in (
        (reliability, BLUE, "o", "as it is: expected calibration error"),
        (scaled, ORANGE, "s", f"at temperature {temperature:.2f}:"),
    ):
        # Points without a line: between bins of few images it would leap, and draw the eye to what means least.
        reach = interval_reach(bins["accuracy"], bins["accuracy_low"], bins["accuracy_high"])
        style = {"fmt": marker, "color": color, "linewidth": 1, "markersize": 5}
        label = f"{name} {calibration_error(bins):.4f}"
        above.errorbar(bins["confidence"], bins["accuracy"], yerr=reach, label=label, **style)
    above.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), ylabel="accuracy")
    above.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside upper left", frameon=False)
    below.bar(reliability["confidence"], reliability["count"], width=0.02, color=BLUE)
    below.set(xlabel="mean confidence of the images in a bin", ylabel="images", yscale="log", ylim=(0.5, None))
    below.xaxis.set_major_formatter(PercentFormatter(1))
    below.yaxis.set_major_formatter("{x:,.0f}")
    without_frame(above)
    without_frame(below)
    return figure
