"""The statistics of an image, and of all of them, are those that one counts by hand."""

from math import hypot, sqrt
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.data.dataset import SPLITS, Split, SplitName
from mnist_pipeline.validation.statistics import image_table, image_tables, statistics, whole_set_facts


def drawn(*pixels: tuple[int, int, int], background: int = 0) -> np.ndarray:
    """An image of one grey level, with some pixels (row, column, value) of their own."""
    image = np.full((4, 6, 1), background, dtype=np.uint8)
    for row, column, value in pixels:
        image[row, column] = value
    return image


EQUAL, UNEQUAL = drawn((1, 2, 240), (2, 4, 240)), drawn((0, 0, 60), (3, 0, 180))
BLACK, INK, NO_INK = drawn(), drawn(background=128), drawn(background=127)
IMAGES = np.stack([EQUAL, UNEQUAL, BLACK, INK, NO_INK])
MIDDLE = hypot(0.5, 0.5)


def split(images: Any, labels: list[int]) -> Split:
    return Split(np.array(images, dtype=np.uint8), np.array(labels))


def pixels(values: list[int], labels: list[int]) -> Split:
    """Images of one pixel each."""
    return split(np.reshape(values, (-1, 1, 1, 1)), labels)


def facts_of(train: Split, test: Split) -> dict[str, Any]:
    splits: dict[SplitName, Split] = {"train": train, "test": test}
    return whole_set_facts(splits, image_tables(splits))


def test_each_column_by_hand() -> None:
    columns = {
        "label": [7, 0, 255, 3, 3],
        "height": [4] * 5,
        "width": [6] * 5,
        "channels": [1] * 5,
        "mean": [20, 10, 0, 128, 127],
        "std": [sqrt(4800 - 400), sqrt(1500 - 100), 0, 0, 0],
        "min": [0, 0, 0, 128, 127],
        "max": [240, 180, 0, 128, 127],
        "grey_levels": [2, 3, 1, 1, 1],
        "sharpness": [240, 180, 0, 0, 0],
        "roughness": [8 * 240 / 480, (2 * 60 + 2 * 180) / 240, 0, 0, 0],
        "ink_fraction": [2 / 24, 1 / 24, 0, 1, 0],
        "box_height": [2, 4, 0, 4, 4],
        "box_width": [3, 1, 0, 6, 6],
        "box_side": [3, 4, 0, 6, 6],
        "box_top": [1, 0, 0, 0, 0],
        "box_left": [2, 0, 0, 0, 0],
        "centre_row": [1.5, 2.25, 0, 1.5, 1.5],
        "centre_column": [3, 0, 0, 2.5, 2.5],
        "centre_distance": [0.5, hypot(0.25, 3), hypot(2, 3), MIDDLE, MIDDLE],
    }
    table = image_table("train", split(IMAGES, [7, 0, 255, 3, 3]))
    assert {name: table[name].tolist() for name in columns} == {
        name: pytest.approx(expected) for name, expected in columns.items()
    }


def test_pixel_facts_are_those_of_all_pixels(splits: dict[SplitName, Split]) -> None:
    """Images of unlike brightness, so that the deviation between images counts as well as that within them."""
    images = splits["train"].images // np.linspace(1, 20, len(splits["train"]), dtype=np.uint8)[:, None, None, None]
    found = facts_of(Split(images, splits["train"].labels), splits["test"])["train"]
    expected = images.mean() / 255, images.std() / 255
    assert (found["pixel_mean"], found["pixel_std"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("fact", "train", "test", "expected"),
    [
        ("classes", pixels([1, 2, 3], [9, 2, 9]), pixels([4], [2]), (2, 1)),
        ("count", pixels([1, 2, 3], [9, 2, 9]), pixels([4], [2]), ({"2": 1, "9": 2}, {"2": 1})),
        ("blank", split(IMAGES, [0] * 5), split([EQUAL, BLACK], [0, 0]), (3, 1)),
        ("box_aspect", split([EQUAL, UNEQUAL], [0, 0]), split([INK, BLACK], [0, 0]), ((3 / 2 + 1 / 4) / 2, 6 / 4 / 2)),
        ("duplicates", pixels([5, 5, 8, 5, 8, 9], [0, 1, 0, 0, 0, 0]), pixels([1, 2], [0, 0]), (3, 0)),
        # The mean image of label 3 is 50, that of label 7 is 190: an image is taken for a 7 from 121 on
        (
            "centroid_accuracy",
            pixels([0, 100, 121, 255, 194], [3, 3, 7, 7, 7]),
            pixels([119, 121, 0, 255, 255], [3, 3, 7, 7, 9]),
            (1, 2 / 5),
        ),
    ],
)
def test_a_fact_by_hand(fact: str, train: Split, test: Split, expected: tuple[Any, Any]) -> None:
    facts = facts_of(train, test)
    assert (facts["train"][fact], facts["test"][fact]) == expected


def test_test_images_that_stand_in_train_are_counted() -> None:
    assert facts_of(pixels([5, 5, 8], [0, 0, 0]), pixels([8, 1, 8, 8], [0, 0, 1, 0]))["duplicates_across"] == 3


def test_statistics_by_hand() -> None:
    tables = {name: image_table(name, split(IMAGES, [7, 0, 255, 3, 3])) for name in SPLITS}
    table = statistics(tables).set_index(["split", "column"])
    side = table.loc[("test", "box_side")]
    assert (side["min"], side["mean"], side["50%"], side["max"]) == (0, 3.8, 4, 6)
    assert {name for name, _ in table.index} == {"train", "test"}
