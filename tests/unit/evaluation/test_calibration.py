"""The calibration error and its table by hand, and a temperature that brings confidence to what it should be."""

import pandas as pd
import pytest
import torch

from mnist_pipeline.comparison.intervals import wilson_interval
from mnist_pipeline.evaluation import calibration


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_logits_that_are_too_large_or_too_small_by_a_factor_are_found_out(factor: float) -> None:
    """Labels are drawn with the probabilities of the logits, so that their own temperature is 1."""
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(20_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    assert calibration.fit_temperature(logits * factor, labels.numpy()) == pytest.approx(factor, rel=0.03)


def test_bins_are_closed_above_and_empty_ones_are_left_out() -> None:
    confidence = [0.25, 0.2, 0.5, 0.75, 1.0]
    table = pd.DataFrame({"label": "a", "predicted": list("abaca"), "confidence": confidence})
    bins = calibration.reliability_table(table, 4, 0.95)
    assert bins["count"].tolist() == [2, 1, 1, 1]
    assert bins["accuracy"].tolist() == [0.5, 1, 0, 1]
    assert bins["confidence"].tolist() == pytest.approx([0.225, 0.5, 0.75, 1])
    bounds = [wilson_interval(right, images, 0.95) for right, images in ((1, 2), (1, 1), (0, 1), (1, 1))]
    assert list(zip(bins["accuracy_low"], bins["accuracy_high"], strict=True)) == bounds


def test_the_error_by_hand_and_within_its_interval(predicted, confident) -> None:
    """Of each four, three are sure, of which two are right, and one is unsure and wrong."""
    logits = confident([0, 0, 1, 1] * 100, [0.9, 0.9, 0.9, 0.4] * 100, 4)
    found = calibration.analyse(predicted(logits, [0] * 400, list("abcd"), calibration_bins=2))
    expected = 3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.4
    assert found.scalars == {"calibration_error": pytest.approx(expected)}
    table = found.tables["calibration"].set_index("measure")
    assert table.index.tolist() == ["calibration_error", "temperature", "calibration_error_scaled", "loss_scaled"]
    assert table["low"].iloc[0] < expected < table["high"].iloc[0]
    assert table["value"]["temperature"] > 1
    assert table["value"]["calibration_error_scaled"] < expected
    counts = found.tables["reliability"].groupby("temperature")["count"].sum()
    assert counts.to_dict() == {1.0: 400, table["value"]["temperature"]: 400}
