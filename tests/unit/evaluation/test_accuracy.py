"""Accuracy, its measures and its tables, by hand and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss

from mnist_pipeline.comparison.intervals import wilson_interval
from mnist_pipeline.evaluation import accuracy

NAMES = ["cat", "dog", "bee"]
LABELS = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 2, 2]


def test_scalars_and_tables_by_hand(predicted, confident) -> None:
    given = predicted(confident(PREDICTED, 0.8, 3), LABELS, NAMES)
    assert given.predictions["label"].tolist() == ["cat", "cat", "cat", "dog", "dog", "bee"]
    assert given.predictions["predicted"].tolist() == ["cat", "cat", "dog", "dog", "bee", "bee"]
    assert given.predictions["confidence"].tolist() == pytest.approx([0.8] * 6)
    found = accuracy.analyse(given)
    low, high = wilson_interval(4, 6, 0.95)
    expected = {"accuracy": 4 / 6, "accuracy_low": low, "accuracy_high": high, "errors": 2}
    expected |= {"loss": -(4 * np.log(0.8) + 2 * np.log(0.1)) / 6, "f1": (0.8 + 0.5 + 2 / 3) / 3}
    assert found.scalars == pytest.approx(expected)
    table = found.tables["per_class"].set_index("label")
    assert table.index.tolist() == NAMES
    assert table["precision"].tolist() == pytest.approx([1, 1 / 2, 1 / 2])
    assert table["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert table["f1"].tolist() == pytest.approx([0.8, 0.5, 2 / 3])
    assert table[["support", "predicted"]].to_numpy().tolist() == [[3, 2], [2, 2], [1, 2]]


def test_measures_are_scikit_learn_s_and_lie_within_their_intervals(predicted) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(500, 5, generator=generator, dtype=torch.float64)
    truth = torch.randint(0, 4, (500,), generator=generator).numpy()  # of the last class, none
    measures = accuracy.analyse(predicted(logits, truth.tolist(), list("abcde"))).tables["measures"]
    answers = logits.argmax(1).numpy()
    loss = log_loss(truth, logits.softmax(1).numpy(), labels=range(5))
    expected = [(answers == truth).mean(), loss, f1_score(truth, answers, average="macro")]
    assert measures["measure"].tolist() == ["accuracy", "loss", "f1"]
    assert measures["value"].tolist() == pytest.approx(expected)
    assert (measures["low"] < measures["value"]).all()
    assert (measures["value"] < measures["high"]).all()


def test_a_class_that_is_nowhere_has_zeros_and_is_left_out_of_the_means(predicted, confident) -> None:
    found = accuracy.analyse(predicted(confident(PREDICTED, 0.9, 4), LABELS, ["c|t", "x\n## y", "bee", "owl"]))
    assert found.tables["per_class"].iloc[3].tolist() == ["owl", 0, 0, 0, 0, 0]
    assert found.scalars["f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert "| owl | never predicted | no image |" in found.card
    (of_two, _), (low, high) = (wilson_interval(2, images, 0.95) for images in (2, 3))
    row = f"| 100.00% ({100 * of_two:.2f}–100.00) | 66.67% ({100 * low:.2f}–{100 * high:.2f}) |"
    assert rf"| c\|t {row}" in found.card, "what would end a cell is escaped"
    assert "| x ## y | " in found.card


def test_of_many_classes_the_card_lists_those_with_the_lowest_f1(predicted, confident) -> None:
    names = [f"class {number}" for number in range(300)]
    guesses = [*range(250), *range(249, 199, -1)]
    found = accuracy.analyse(predicted(confident(guesses, 0.5, 300), range(300), names))
    listed = [line for line in found.card.splitlines() if line.startswith("| class")]
    assert len(listed) == accuracy.MOST_ROWS
    assert "| class 299 | never predicted | 0.00%" in found.card
    assert "| class 3 |" not in found.card
    assert len(found.tables["per_class"]) == 300


def test_a_classifier_that_has_nothing_right_is_measured_too(predicted, confident) -> None:
    found = accuracy.analyse(predicted(confident([1, 1, 0], 0.8, 3), [0, 0, 1], NAMES))
    assert (found.scalars["accuracy"], found.scalars["errors"], found.scalars["f1"]) == (0, 3, 0)
    assert found.tables["per_class"]["support"].tolist() == [2, 1, 0]


def test_the_figures_show_counts_and_the_most_confident_mistakes(predicted, confident) -> None:
    def figures(third: float, fifth: float, **settings: int) -> tuple[bytes, bytes]:
        logits = confident(PREDICTED, [0.5, 0.5, third, 0.5, fifth, 0.5], 3)
        found = accuracy.analyse(predicted(logits, LABELS, NAMES, **settings)).figures
        return found["confusion"], found["mistakes"]

    (confusion, rising), (again, falling) = figures(0.6, 0.8), figures(0.8, 0.6)
    assert confusion == again
    assert rising != falling
    assert figures(0.8, 0.6, mistakes=1) == figures(0.8, 0.7, mistakes=1)
