"""Two classifiers on the same images."""

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.comparison.intervals import difference_interval
from mnist_pipeline.comparison.paired import PAIR_COLUMNS, compare, comparison_lines, mcnemar, pair_table


def answers(labels: str, predicted: str) -> pd.DataFrame:
    return pd.DataFrame({"label": list(labels), "predicted": list(predicted)})


TABLES = {"a": answers("0011", "0011"), "b": answers("0011", "0110"), "c": answers("0011", "1011")}


def test_only_the_images_on_which_they_differ_count() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=np.uint8)
    champion, candidate = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([1, 1, 0, 0, 1, 1, 1, 1])
    found = compare(labels, candidate, champion, ["zero", "one"])
    assert (found.images, found.won, found.lost) == (8, 1, 2)
    assert (found.candidate_accuracy, found.champion_accuracy) == (6 / 8, 7 / 8)
    assert found.p_value == pytest.approx(1.0)
    assert (found.worst_class, found.class_drop) == ("zero", 0.25)


def test_the_exact_p_value_is_the_textbook_s() -> None:
    """Ten that one alone has right against two: 2 · P(at most 2 of 12 by a fair coin) = 158 / 4096."""
    ten, two = np.repeat([True, False], [10, 2]), np.repeat([False, True], [10, 2])
    assert mcnemar(ten, two) == (10, 2, pytest.approx(158 / 4096))
    assert mcnemar(two, ten) == (2, 10, pytest.approx(158 / 4096))
    assert mcnemar(ten, ten) == (0, 0, 1)


def test_the_first_model_is_compared_with_each_other_one() -> None:
    table = pair_table(TABLES, confidence=0.9)
    assert table[["model", "other"]].to_numpy().tolist() == [["a", "b"], ["a", "c"]]
    assert table[["accuracy", "other_accuracy", "difference"]].to_numpy().tolist() == [[1, 0.5, 0.5], [1, 0.75, 0.25]]
    assert table["p_value"].tolist() == [0.5, 1.0]
    assert (table["difference_low"][0], table["difference_high"][0]) == difference_interval(2, 0, 4, 0.9)
    table = pair_table({"a": answers("0123", "0000"), "b": answers("0123", "1110")}, confidence=0.9)
    assert table[["won", "lost", "both_wrong"]].to_numpy().tolist() == [[1, 1, 2]]
    assert list(pair_table({"a": answers("01", "00")}, confidence=0.9).columns) == list(PAIR_COLUMNS)


def test_a_comparison_has_a_line_for_each_pair_and_one_for_what_all_miss() -> None:
    summary = {"missed_by_all": 1234, "suspected_labels": 8}
    first, second, last = comparison_lines(summary, pair_table(TABLES, 0.9), list(TABLES), 0.9)
    assert first.startswith("a against b: +50.00 points")
    assert "90%" in first
    assert "p = 1" in second
    assert "1,234" in last
    assert "all 3 models" in last
