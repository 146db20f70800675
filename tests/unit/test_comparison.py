"""Two classifiers on the same images."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from mnist_pipeline.evaluation.comparison import compare, mcnemar, pair_table, tell
from mnist_pipeline.evaluation.intervals import difference_interval

NAMES = ["zero", "one"]


def answers(labels: str, predicted: str) -> pd.DataFrame:
    return pd.DataFrame({"label": list(labels), "predicted": list(predicted)})


def test_only_the_images_on_which_they_differ_count() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=np.uint8)
    champion = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    candidate = np.array([1, 1, 0, 0, 1, 1, 1, 1])
    found = compare(labels, candidate, champion, NAMES)
    assert (found.images, found.won, found.lost) == (8, 1, 2)
    assert (found.candidate_accuracy, found.champion_accuracy) == (6 / 8, 7 / 8)
    assert found.p_value == pytest.approx(binomtest(2, 3).pvalue) == pytest.approx(1.0)
    assert (found.worst_class, found.class_drop) == ("zero", 0.25)


def test_the_exact_p_value_is_the_textbook_s() -> None:
    """Ten that one alone had right against two: 2 · P(at most 2 of 12 by a fair coin) = 158 / 4096."""
    labels = np.zeros(12, dtype=np.uint8)
    found = compare(labels, np.array([1] * 10 + [0] * 2), np.array([0] * 10 + [1] * 2), NAMES)
    assert (found.lost, found.won) == (10, 2)
    assert found.p_value == pytest.approx(158 / 4096)


def test_equal_predictions_differ_by_nothing() -> None:
    labels = np.array([0, 1], dtype=np.uint8)
    found = compare(labels, labels.astype(np.int64), labels.astype(np.int64), NAMES)
    assert (found.won, found.lost, found.p_value, found.class_drop) == (0, 0, 1.0, 0.0)


def test_the_first_model_is_compared_with_each_other_one() -> None:
    labels = "0011"
    table = pair_table(
        {"a": answers(labels, "0011"), "b": answers(labels, "0110"), "c": answers(labels, "1011")}, confidence=0.9
    )
    assert table[["model", "other"]].to_numpy().tolist() == [["a", "b"], ["a", "c"]]
    assert table[["accuracy", "other_accuracy", "difference"]].to_numpy().tolist() == [[1, 0.5, 0.5], [1, 0.75, 0.25]]
    assert table[["won", "lost", "both_wrong"]].to_numpy().tolist() == [[2, 0, 0], [1, 0, 0]]
    assert table["p_value"].tolist() == [mcnemar(2, 0), mcnemar(1, 0)] == [0.5, 1.0]
    assert (table["difference_low"][0], table["difference_high"][0]) == difference_interval(2, 0, 4, 0.9)


def test_what_both_miss_is_counted_apart() -> None:
    table = pair_table({"a": answers("0123", "0000"), "b": answers("0123", "1110")}, confidence=0.9)
    assert table[["won", "lost", "both_wrong"]].to_numpy().tolist() == [[1, 1, 2]]


def test_a_single_model_makes_no_pair() -> None:
    table = pair_table({"a": answers("01", "00")}, confidence=0.9)
    assert table.empty
    assert "p_value" in table.columns


def test_a_comparison_is_told_in_a_line_for_each_pair() -> None:
    pair = {"difference": 0.0009, "difference_low": -0.0005, "difference_high": 0.0024, "won": 1234, "lost": 23}
    summary = {"missed_by_all": 23, "suspected_labels": 8, "pairs": {"a against b": pair | {"p_value": 1.234e-7}}}
    first, second = tell(summary, ["a", "b"], 0.95)
    assert first == (
        "a against b: +0.09 points of accuracy, -0.05 to +0.24 at 95% confidence; 1,234 images won, 23 lost, "
        "exact McNemar p = 1.2e-07"
    )
    assert second == "23 images missed by a and b, 8 of their labels suspected"
    assert tell(summary, ["a", "b", "c"], 0.95)[-1].startswith("23 images missed by all 3 models")
