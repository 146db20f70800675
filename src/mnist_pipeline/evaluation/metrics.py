"""How good a classifier is, computed from its logits and the true labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from mnist_pipeline.evaluation.intervals import wilson_interval

DECIMALS = 6
"""Of every reported number: single precision gives no more."""


@dataclass(frozen=True)
class Evaluation:
    """What is known of a classifier after a test.

    `summary` holds the numbers of the whole set and, under `per_class`, those of each label by its name.
    `predictions`, `by_class`, `reliability` and `confusion` are the tables that the functions below describe.
    """

    summary: dict[str, Any]
    predictions: pd.DataFrame
    by_class: pd.DataFrame
    reliability: pd.DataFrame
    confusion: pd.DataFrame

    @property
    def mistakes(self) -> pd.DataFrame:
        """The rows of `predictions` that are wrong, the most confident first."""
        wrong = self.predictions[self.predictions["label"] != self.predictions["predicted"]]
        return wrong.sort_values("confidence", ascending=False, kind="stable")


def evaluate(logits: Tensor, labels: Tensor, label_names: Sequence[str], confidence: float, bins: int) -> Evaluation:
    """Everything that is measured of logits `[N, classes]` against labels `[N]`.

    `confidence` is that of the accuracy's interval; `bins` are those of the calibration. The macro averages are over
    the classes that are in the set or were predicted.
    """
    predicted, images = logits.argmax(1), len(labels)
    correct = int((predicted == labels).sum())
    low, high = wilson_interval(correct, images, confidence)
    predictions = prediction_table(logits, labels, label_names)
    confusion = confusion_table(predictions, label_names)
    by_class = class_table(confusion)
    occurring = by_class[(confusion.sum(axis=0) + confusion.sum(axis=1) > 0).to_numpy()]
    reliability = reliability_table(predictions, bins, confidence)
    numbers = {
        "accuracy": correct / images,
        "accuracy_low": low,
        "accuracy_high": high,
        "loss": float(cross_entropy(logits.double(), labels)),
        "expected_calibration_error": expected_calibration_error(reliability),
        **{name: float(occurring[name].mean()) for name in ("precision", "recall", "f1")},
    }
    summary = {
        "images": images,
        "errors": images - correct,
        **{name: round(number, DECIMALS) for name, number in numbers.items()},
        "per_class": by_class.round(DECIMALS).set_index("label").to_dict("index"),
    }
    return Evaluation(summary, predictions, by_class, reliability, confusion)


def prediction_table(logits: Tensor, labels: Tensor, label_names: Sequence[str]) -> pd.DataFrame:
    """One row for each image: its place in the split, its label and the predicted one by name, and the confidence."""
    confidence, predicted = logits.double().softmax(1).max(1)
    return pd.DataFrame(
        {
            "image": range(len(labels)),
            "label": [label_names[label] for label in labels.tolist()],
            "predicted": [label_names[label] for label in predicted.tolist()],
            "confidence": confidence.numpy(),
        }
    )


def class_table(confusion: pd.DataFrame) -> pd.DataFrame:
    """One row for each class: precision, recall, F1 score (0 where undefined), `support` and `predicted`.

    `support` images have the label, `predicted` images got it.

    By hand, from the counts of `confusion_table`: torchmetrics, with which a test compares, takes long to import.
    """
    right = np.diag(confusion)
    support, given = confusion.sum(axis=1).to_numpy(), confusion.sum(axis=0).to_numpy()
    return pd.DataFrame(
        {
            "label": confusion.index,
            "precision": right / np.maximum(given, 1),
            "recall": right / np.maximum(support, 1),
            "f1": 2 * right / np.maximum(given + support, 1),
            "support": support,
            "predicted": given,
        }
    )


def confusion_table(predictions: pd.DataFrame, label_names: Sequence[str]) -> pd.DataFrame:
    """How many images of each label (rows) were given each label (columns), both in the order of `label_names`."""
    counts = pd.crosstab(predictions["label"], predictions["predicted"])
    return counts.reindex(index=list(label_names), columns=list(label_names), fill_value=0)


def reliability_table(predictions: pd.DataFrame, bins: int, confidence: float) -> pd.DataFrame:
    """Mean confidence, accuracy and count of images in each of `bins` equal intervals of confidence that holds any.

    `accuracy_low` and `accuracy_high` bound the accuracy with the given confidence.
    """
    correct = predictions["label"] == predictions["predicted"]
    groups = predictions.assign(correct=correct).groupby(confidence_bins(predictions["confidence"].to_numpy(), bins))
    counts = groups.size()
    right = groups["correct"].sum()
    bounds = [wilson_interval(*numbers, confidence) for numbers in zip(right, counts, strict=True)]
    low, high = np.array(bounds).T
    table = {"confidence": groups["confidence"].mean(), "accuracy": right / counts, "count": counts}
    return pd.DataFrame({**table, "accuracy_low": low, "accuracy_high": high}).reset_index(drop=True)


def confidence_bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """In which of `bins` equal intervals each confidence `[N]` lies, from 0.

    The intervals are open below and closed above, as in Guo et al. (2017), "On calibration of modern neural
    networks", ICML. (torchmetrics puts a confidence of exactly 1 into a further bin of its own.)
    """
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)


def expected_calibration_error(reliability: pd.DataFrame) -> float:
    """Mean distance of confidence from accuracy over the bins, weighted by their images; Guo et al. (2017)."""
    distance = (reliability["accuracy"] - reliability["confidence"]).abs()
    return float((distance * reliability["count"]).sum() / reliability["count"].sum())
