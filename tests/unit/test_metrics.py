"""The numbers of an evaluation, against values known from elsewhere."""

import pandas as pd
import pytest
import torch
from torch import Tensor
from torchmetrics.functional import classification

from mnist_pipeline.evaluation.intervals import wilson_interval
from mnist_pipeline.evaluation.metrics import (
    class_table,
    confusion_table,
    evaluate,
    expected_calibration_error,
    prediction_table,
    reliability_table,
)

NAMES = ["cat", "dog", "bee"]
LABELS = torch.tensor([0, 0, 0, 1, 1, 2])
PREDICTED = torch.tensor([0, 0, 1, 1, 2, 2])


def confident(predicted: Tensor, confidence: float, classes: int = 3) -> Tensor:
    """Logits that predict with the given confidence and share the rest evenly."""
    rest = (1 - confidence) / (classes - 1)
    probabilities = torch.full((len(predicted), classes), rest, dtype=torch.float64)
    probabilities[range(len(predicted)), predicted] = confidence
    return probabilities.log()


def test_class_table_by_hand() -> None:
    confusion = confusion_table(prediction_table(confident(PREDICTED, 0.9), LABELS, NAMES), NAMES)
    table = class_table(confusion).set_index("label")
    assert table["precision"].tolist() == pytest.approx([1, 1 / 2, 1 / 2])
    assert table["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert table["f1"].tolist() == pytest.approx([0.8, 0.5, 2 / 3])
    assert table["support"].tolist() == [3, 2, 1]
    assert table["predicted"].tolist() == [2, 2, 2]


def test_a_class_that_is_nowhere_scores_zero_and_is_left_out_of_the_macro_average() -> None:
    logits = confident(PREDICTED, 0.9, classes=4)
    evaluation = evaluate(logits, LABELS, [*NAMES, "owl"], confidence=0.95, bins=10)
    assert evaluation.by_class.iloc[3].tolist() == ["owl", 0, 0, 0, 0, 0]
    assert evaluation.summary["recall"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3, abs=1e-6)


def test_confusion_table_has_true_labels_in_rows_in_the_order_of_the_names() -> None:
    confusion = confusion_table(prediction_table(confident(PREDICTED, 0.9), LABELS, NAMES), NAMES)
    assert confusion.index.tolist() == confusion.columns.tolist() == NAMES
    assert confusion.to_numpy().tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_prediction_table_names_labels() -> None:
    table = prediction_table(confident(PREDICTED, 0.9), LABELS, NAMES)
    assert table["image"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["label"].tolist() == ["cat", "cat", "cat", "dog", "dog", "bee"]
    assert table["predicted"].tolist() == ["cat", "cat", "dog", "dog", "bee", "bee"]
    assert table["confidence"].tolist() == pytest.approx([0.9] * 6)


def test_mistakes_come_with_the_most_confident_first() -> None:
    logits = torch.cat([confident(PREDICTED[:3], 0.6), confident(PREDICTED[3:], 0.8)])
    mistakes = evaluate(logits, LABELS, NAMES, confidence=0.95, bins=10).mistakes
    assert mistakes["image"].tolist() == [4, 2]


def predictions(rows: list[tuple[float, bool]]) -> pd.DataFrame:
    return pd.DataFrame([{"label": "a", "predicted": "a" if right else "b", "confidence": c} for c, right in rows])


def test_reliability_bins_are_closed_above_and_empty_ones_are_left_out() -> None:
    table = reliability_table(
        predictions([(0.25, True), (0.2, False), (0.5, True), (0.75, False), (1.0, True)]), 4, 0.95
    )
    assert table["count"].tolist() == [2, 1, 1, 1]
    assert table["accuracy"].tolist() == [0.5, 1, 0, 1]
    assert table["confidence"].tolist() == pytest.approx([0.225, 0.5, 0.75, 1])
    bounds = [wilson_interval(right, images, 0.95) for right, images in ((1, 2), (1, 1), (0, 1), (1, 1))]
    assert list(zip(table["accuracy_low"], table["accuracy_high"], strict=True)) == bounds


def test_calibration_error_by_hand() -> None:
    table = reliability_table(predictions([(0.9, True), (0.9, True), (0.9, False), (0.4, False)]), 2, 0.95)
    assert expected_calibration_error(table) == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.4)


def test_the_numbers_agree_with_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(500, 10, generator=generator)
    labels = torch.randint(0, 10, (500,), generator=generator)
    names = [str(label) for label in range(10)]
    evaluation = evaluate(logits, labels, names, confidence=0.95, bins=15)
    expected = classification.multiclass_calibration_error(logits.softmax(1), labels, 10, n_bins=15).item()
    assert evaluation.summary["expected_calibration_error"] == pytest.approx(expected, abs=1e-5)
    for name in ("precision", "recall", "f1"):
        score = getattr(classification, f"multiclass_{name}{'_score' if name == 'f1' else ''}")
        assert evaluation.summary[name] == pytest.approx(score(logits, labels, 10).item(), abs=1e-5)
        by_class = score(logits, labels, 10, average="none").tolist()
        assert evaluation.by_class[name].tolist() == pytest.approx(by_class, abs=1e-6)


def test_summary_by_hand() -> None:
    summary = evaluate(confident(PREDICTED, 0.8), LABELS, NAMES, confidence=0.95, bins=10).summary
    low, high = wilson_interval(4, 6, 0.95)
    assert (summary["images"], summary["errors"]) == (6, 2)
    assert summary["accuracy"] == pytest.approx(4 / 6, abs=1e-6)
    assert (summary["accuracy_low"], summary["accuracy_high"]) == pytest.approx((low, high), abs=1e-6)
    assert summary["loss"] == pytest.approx(-(4 * torch.tensor(0.8).log() + 2 * torch.tensor(0.1).log()).item() / 6)
    assert summary["precision"] == pytest.approx(2 / 3, abs=1e-6)
    assert summary["f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3, abs=1e-6)
    assert summary["per_class"]["dog"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "predicted": 2}


def test_a_perfect_classifier() -> None:
    evaluation = evaluate(confident(LABELS, 1 - 1e-9), LABELS, NAMES, confidence=0.95, bins=10)
    assert evaluation.summary["errors"] == 0
    assert evaluation.summary["accuracy_high"] == 1 > evaluation.summary["accuracy_low"]
    assert evaluation.mistakes.empty
