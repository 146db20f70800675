"""Parts of the images by what they look like."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.comparison.intervals import wilson_interval
from mnist_pipeline.evaluation.slices import OF_PICTURES, OF_STROKES, analyse, measured, slice_name, slice_table


def bar(width: int = 4, height: int = 16, lean: float = 0.0, ink: int = 255) -> np.ndarray:
    """An upright bar through the middle; `lean` columns to the right with each row upwards."""
    image = np.zeros((28, 28), np.uint8)
    for row in range(14 - height // 2, 14 + height // 2):
        left = round(14 - width / 2 + lean * (13.5 - row))
        image[row, left : left + width] = ink
    return image


EMPTY = bar(ink=0)
COLOURLESS = ("brightness", "contrast", "sharpness")


@pytest.mark.parametrize(
    ("name", "images", "expected", "tolerance"),
    [
        ("ink", [bar(), bar(ink=51), EMPTY], [64 / 784, 64 / 784 / 5, 0], 1e-6),
        ("slant", [bar(), bar(lean=0.5), bar(lean=-0.5), EMPTY], [0, 26.6, -26.6, 0], 1.5),
        ("stroke width", [bar(2, 20), bar(4, 20), EMPTY], [2, 4, 0], 0.65),
        ("size", [bar(4, 16), bar(6, 10, ink=1), EMPTY], [64, 60, 0], 0),
        ("brightness", [EMPTY + 51, EMPTY + 255], [0.2, 1], 1e-6),
        ("contrast", [EMPTY + 51, np.repeat([EMPTY[0], EMPTY[0] + 255], 14, axis=0)], [0, 0.5], 1e-6),
        (
            "sharpness",
            [EMPTY + 51, np.indices((28, 28)).sum(0).astype(np.uint8) % 2 * 255],
            [0, 3.93],
            0.06,
        ),  # 4 but at the edge
    ],
)
def test_properties_are_in_their_units(
    name: str, images: list[np.ndarray], expected: list[float], tolerance: float
) -> None:
    assert measured(name, np.stack(images)[..., None] / 255) == pytest.approx(expected, abs=tolerance)


def test_each_part_holds_a_quarter_and_its_accuracy() -> None:
    images = np.stack([bar(ink=value) for value in range(56, 256)])[..., None]
    correct = np.arange(200) >= 10  # the palest are mistaken
    table = slice_table(images, correct, [*OF_STROKES], 0.95)
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
    names = [slice_name(pd.Series({"property": name, "least": -1.5, "most": 1234.5})) for name in OF_STROKES]
    assert names[0].startswith("ink −1.5 to ")
    assert [name.split("e+03")[1] for name in names] == [" of white", "°", " pixels", " pixels²"]


@pytest.mark.parametrize(("channels", "expected"), [(1, COLOURLESS), (3, OF_PICTURES), (4, OF_PICTURES)])
def test_other_pictures_have_properties_of_their_own(pictures, channels: int, expected: Iterable[str]) -> None:
    found = analyse(pictures((20, 12, channels), ["cat", "dog", "owl"]))
    assert tuple(found.tables["slices"]["property"].unique()) == tuple(expected)
    assert f"by {', '.join(expected)}, " in found.card


def test_colours_are_measured_as_a_person_sees_them_on_white_paper() -> None:
    red, green, grey = [255, 0, 0, 255], [0, 255, 0, 255], [100, 100, 100, 255]
    images = np.stack([np.full((6, 6, 4), pixel, np.uint8) for pixel in (red, green, grey, [9, 9, 9, 0])])
    table = slice_table(images, np.ones(4, bool), [*OF_PICTURES], 0.95)
    least = {name: sorted(part["least"]) for name, part in table.groupby("property")}
    assert least["brightness"] == pytest.approx([0.299, 100 / 255, 0.587, 1])
    assert least["colourfulness"] == pytest.approx([0, 1])
    assert max(least["contrast"]) == pytest.approx(0, abs=1e-9)


def test_the_parts_in_which_images_are_measured_do_not_matter(given, monkeypatch) -> None:
    whole = analyse(given).tables["slices"]
    monkeypatch.setattr("mnist_pipeline.data.dataset.BATCH", 7 * 784)
    pd.testing.assert_frame_equal(analyse(given).tables["slices"], whole, check_exact=True)
