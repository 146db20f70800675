"""Parts of the images, and what is left to a person."""

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.evaluation.intervals import wilson_interval
from mnist_pipeline.evaluation.selection import area_under_risk, selection_table
from mnist_pipeline.evaluation.slices import PROPERTIES, slice_table


def bar(width: int = 4, height: int = 16, lean: float = 0.0, ink: int = 255) -> np.ndarray:
    """An upright bar through the middle; `lean` columns to the right with each row upwards."""
    image = np.zeros((28, 28), np.uint8)
    for row in range(14 - height // 2, 14 + height // 2):
        left = round(14 - width / 2 + lean * (13.5 - row))
        image[row, left : left + width] = ink
    return image


def measured(name: str, *images: np.ndarray) -> np.ndarray:
    return PROPERTIES[name](np.stack(images) / 255)


def test_ink_is_the_mean_brightness() -> None:
    assert measured("ink", bar(), bar(ink=51)) == pytest.approx([64 / 784, 64 / 784 / 5])


def test_slant_is_in_degrees_to_the_right() -> None:
    assert measured("slant", bar(), bar(lean=0.5), bar(lean=-0.5)) == pytest.approx([0, 26.6, -26.6], abs=1.5)


def test_stroke_width_is_in_pixels() -> None:
    assert measured("stroke width", bar(2, 20), bar(4, 20)) == pytest.approx([2, 4], rel=0.2)


def test_size_is_that_of_the_box() -> None:
    assert measured("size", bar(4, 16), bar(6, 10, ink=1)) == pytest.approx([64, 60])


def test_an_empty_image_has_no_size_and_no_slant() -> None:
    assert [float(measured(name, np.zeros((28, 28)))[0]) for name in PROPERTIES] == [0, 0, 0, 0]


def test_each_part_holds_a_quarter_and_its_accuracy() -> None:
    images = np.stack([bar(ink=value) for value in range(56, 256)])
    correct = np.arange(200) >= 10  # the palest are mistaken
    table = slice_table(images, correct, 0.95)
    ink = table[table["property"] == "ink"]
    assert ink["images"].tolist() == [50] * 4
    assert ink["errors"].tolist() == [10, 0, 0, 0]
    assert ink["accuracy"].tolist() == pytest.approx([0.8, 1, 1, 1])
    assert (ink["accuracy_low"].iloc[0], ink["accuracy_high"].iloc[0]) == wilson_interval(40, 50, 0.95)
    assert ink["least"].iloc[0] == pytest.approx(64 / 784 * 56 / 255)
    assert ink["most"].iloc[-1] == pytest.approx(64 / 784)
    assert table[table["property"] == "size"]["images"].tolist() == [200]  # all alike


def predictions() -> pd.DataFrame:
    """Of 200 images, the least confident 10 are mistaken, and the most confident one."""
    confidence = np.linspace(0.3, 1, 200)
    wrong = (np.arange(200) < 10) | (np.arange(200) == 199)
    return pd.DataFrame({"label": "1", "predicted": np.where(wrong, "7", "1"), "confidence": confidence})


def test_fewer_answers_have_fewer_errors() -> None:
    table = selection_table(predictions()).set_index("coverage")
    assert table["images"][1.0] == 200
    assert table["errors"][1.0] == 11
    assert table["errors"][0.95] == 1
    assert table["accuracy"][0.5] == pytest.approx(0.99)
    assert table["least_confidence"][0.5] == pytest.approx(np.linspace(0.3, 1, 200)[100])


def test_the_area_under_the_risk_is_its_mean_over_all_coverages() -> None:
    wrong = np.array([1] + [0] * 189 + [1] * 10)
    assert area_under_risk(predictions()) == pytest.approx((wrong.cumsum() / np.arange(1, 201)).mean())
