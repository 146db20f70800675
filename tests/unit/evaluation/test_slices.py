"""Parts of the images by what they look like."""

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.comparison.intervals import wilson_interval
from mnist_pipeline.evaluation.slices import PROPERTIES, analyse, slice_name, slice_table


def bar(width: int = 4, height: int = 16, lean: float = 0.0, ink: int = 255) -> np.ndarray:
    """An upright bar through the middle; `lean` columns to the right with each row upwards."""
    image = np.zeros((28, 28), np.uint8)
    for row in range(14 - height // 2, 14 + height // 2):
        left = round(14 - width / 2 + lean * (13.5 - row))
        image[row, left : left + width] = ink
    return image


EMPTY = bar(ink=0)


@pytest.mark.parametrize(
    ("name", "images", "expected", "tolerance"),
    [
        ("ink", [bar(), bar(ink=51), EMPTY], [64 / 784, 64 / 784 / 5, 0], 1e-6),
        ("slant", [bar(), bar(lean=0.5), bar(lean=-0.5), EMPTY], [0, 26.6, -26.6, 0], 1.5),
        ("stroke width", [bar(2, 20), bar(4, 20), EMPTY], [2, 4, 0], 0.65),
        ("size", [bar(4, 16), bar(6, 10, ink=1), EMPTY], [64, 60, 0], 0),
    ],
)
def test_properties_are_in_their_units(
    name: str, images: list[np.ndarray], expected: list[float], tolerance: float
) -> None:
    assert PROPERTIES[name][0](np.stack(images) / 255) == pytest.approx(expected, abs=tolerance)


def test_each_part_holds_a_quarter_and_its_accuracy() -> None:
    images = np.stack([bar(ink=value) for value in range(56, 256)])
    correct = np.arange(200) >= 10  # the palest are mistaken
    table = slice_table(images, correct, 0.95)
    ink = table[table["property"] == "ink"]
    assert ink[["images", "errors"]].to_numpy().tolist() == [[50, 10], [50, 0], [50, 0], [50, 0]]
    assert ink["accuracy"].tolist() == pytest.approx([0.8, 1, 1, 1])
    assert (ink["accuracy_low"].iloc[0], ink["accuracy_high"].iloc[0]) == wilson_interval(40, 50, 0.95)
    assert ink["least"].iloc[0] == pytest.approx(64 / 784 * 56 / 255)
    assert ink["most"].iloc[-1] == pytest.approx(64 / 784)
    assert table[table["property"] == "size"]["images"].tolist() == [200]  # all alike


def test_the_worst_part_is_the_scalar_and_parts_are_named_with_their_units(given) -> None:
    found = analyse(given)
    table = found.tables["slices"]
    assert found.scalars == {"worst_slice_accuracy": table["accuracy"].min()}
    assert table.groupby("property")["errors"].sum().tolist() == [(~given.correct).sum()] * 4
    names = [slice_name(pd.Series({"property": name, "least": -1.5, "most": 1234.5})) for name in PROPERTIES]
    assert names[0].startswith("ink −1.5 to ")
    assert [name.split("e+03")[1] for name in names] == [" of white", "°", " pixels", " pixels²"]
