"""What is left to a person."""

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.evaluation import selection

CONFIDENCE = np.linspace(1, 0.3, 200)
WRONG = (np.arange(200) == 0) | (np.arange(200) >= 190)
"""The most confident of 200 images is mistaken, and the least confident 10."""


def test_fewer_predictions_have_fewer_errors() -> None:
    table = selection.selection_table(pd.DataFrame({"confidence": CONFIDENCE, "wrong": WRONG})).set_index("coverage")
    assert table[["images", "errors"]].loc[[1.0, 0.95]].to_numpy().tolist() == [[200, 11], [190, 1]]
    assert table["accuracy"][0.5] == pytest.approx(0.99)
    assert table["least_confidence"][0.5] == pytest.approx(CONFIDENCE[99])


def test_the_area_is_the_mean_risk_over_all_coverages_and_lies_within_its_interval(given) -> None:
    wrong = np.array([True, False, False, True])
    assert selection.area_under_risk(wrong) == pytest.approx((1 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    found = selection.analyse(given)
    (row,) = found.tables["risk"].to_dict("records")
    assert row["low"] < row["value"] < row["high"]
    assert found.tables["selection"]["errors"][0] == (~given.correct).sum()
