"""What is said of an image, and of all of them, is what one counts by hand."""

import json
from math import hypot, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline.data.dataset import SPLIT_FILES, Split, SplitName
from mnist_pipeline.validation import profile
from mnist_pipeline.validation.profile import image_table, image_tables, statistics, whole_set_facts

HEIGHT, WIDTH = 4, 6


def drawn(*pixels: tuple[int, int, int], background: int = 0) -> np.ndarray:
    """An image of one grey level, with some pixels (row, column, value) of their own."""
    image = np.full((HEIGHT, WIDTH), background, dtype=np.uint8)
    for row, column, value in pixels:
        image[row, column] = value
    return image


EQUAL = drawn((1, 2, 240), (2, 4, 240))
UNEQUAL = drawn((0, 0, 60), (3, 0, 180))
BLACK = drawn()
INK = drawn(background=128)
NO_INK = drawn(background=127)
IMAGES = np.stack([EQUAL, UNEQUAL, BLACK, INK, NO_INK])
MIDDLE = hypot(0.5, 0.5)


def split(images: Any, labels: list[int]) -> Split:
    return Split(np.array(images, dtype=np.uint8), np.array(labels, dtype=np.uint8))


def single_pixels(values: list[int], labels: list[int]) -> Split:
    """Images of one pixel each."""
    return split(np.reshape(values, (-1, 1, 1)), labels)


def facts_of(train: Split, test: Split) -> dict[str, Any]:
    splits: dict[SplitName, Split] = {"train": train, "test": test}
    return whole_set_facts(splits, image_tables(splits))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("image", [0, 1, 2, 3, 4]),
        ("label", [7, 0, 255, 3, 3]),
        ("height", [HEIGHT] * 5),
        ("width", [WIDTH] * 5),
        ("mean", [20, 10, 0, 128, 127]),
        ("std", [sqrt(4800 - 400), sqrt(1500 - 100), 0, 0, 0]),
        ("min", [0, 0, 0, 128, 127]),
        ("max", [240, 180, 0, 128, 127]),
        ("grey_levels", [2, 3, 1, 1, 1]),
        ("sharpness", [240, 180, 0, 0, 0]),
        ("roughness", [8 * 240 / 480, (2 * 60 + 2 * 180) / 240, 0, 0, 0]),
        ("ink_fraction", [2 / 24, 1 / 24, 0, 1, 0]),
        ("box_height", [2, 4, 0, 4, 4]),
        ("box_width", [3, 1, 0, 6, 6]),
        ("box_side", [3, 4, 0, 6, 6]),
        ("box_top", [1, 0, 0, 0, 0]),
        ("box_left", [2, 0, 0, 0, 0]),
        ("centre_row", [1.5, 2.25, 0, 1.5, 1.5]),
        ("centre_column", [3, 0, 0, 2.5, 2.5]),
        ("centre_distance", [0.5, hypot(0.25, 3), hypot(2, 3), MIDDLE, MIDDLE]),
    ],
)
def test_a_column_by_hand(column: str, expected: list[float]) -> None:
    table = image_table("train", split(IMAGES, [7, 0, 255, 3, 3]))
    assert table[column].tolist() == pytest.approx(expected)


def test_the_docstring_names_every_column() -> None:
    described = f"{image_table.__doc__} {image_tables.__doc__}"
    table = image_tables({"train": split(IMAGES, [0] * 5), "test": split(IMAGES, [0] * 5)})["test"]
    assert [name for name in table if f"`{name}`" not in described] == []


def test_the_content_tells_apart_what_differs_in_one_pixel() -> None:
    other = drawn((1, 2, 240), (2, 4, 241))
    first, second, third = image_table("train", split([EQUAL, other, EQUAL], [0, 0, 1]))["content"]
    assert first == third != second


def test_the_memory_layout_changes_nothing() -> None:
    labels = np.zeros(len(IMAGES), dtype=np.uint8)
    by_column = IMAGES.transpose(0, 2, 1).copy().transpose(0, 2, 1)
    pd.testing.assert_frame_equal(*(image_table("test", Split(images, labels)) for images in (by_column, IMAGES)))


@pytest.mark.parametrize("size", [1, 7, 25, 100])
def test_the_size_of_the_chunks_changes_nothing(
    splits: dict[SplitName, Split], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    few = {name: images.take(np.arange(25)) for name, images in splits.items()}
    table, facts = image_table("train", few["train"]), facts_of(few["train"], few["test"])
    monkeypatch.setattr(profile, "CHUNK", size)
    pd.testing.assert_frame_equal(image_table("train", few["train"]), table, check_exact=True)
    assert facts_of(few["train"], few["test"]) == facts


def test_pixel_facts_are_those_of_all_pixels(splits: dict[SplitName, Split]) -> None:
    """Images of unlike brightness, so that the deviation between images counts as well as that within them."""
    images = splits["train"].images // np.linspace(1, 20, len(splits["train"]), dtype=np.uint8)[:, None, None]
    facts = facts_of(Split(images, splits["train"].labels), splits["test"])
    for name, pixels in (("train", images), ("test", splits["test"].images)):
        assert facts[name]["pixel_mean"] == pytest.approx(pixels.mean() / 255, abs=1e-6)
        assert facts[name]["pixel_std"] == pytest.approx(pixels.std() / 255, abs=1e-6)


def test_counts_are_of_the_labels_that_there_are() -> None:
    facts = facts_of(single_pixels([1, 2, 3], [9, 2, 9]), single_pixels([4], [2]))
    assert facts["train"] | {"images": 3, "classes": 2, "count": {"2": 1, "9": 2}} == facts["train"]
    assert facts["test"] | {"images": 1, "classes": 1, "count": {"2": 1}} == facts["test"]


def test_blank_images_have_one_grey_level() -> None:
    facts = facts_of(split(IMAGES, [0] * 5), split([EQUAL, BLACK], [0, 0]))
    assert (facts["train"]["blank"], facts["test"]["blank"]) == (3, 1)


def test_the_aspect_is_the_mean_of_width_over_height() -> None:
    facts = facts_of(split([EQUAL, UNEQUAL], [0, 0]), split([INK, BLACK], [0, 0]))
    assert facts["train"]["box_aspect"] == (3 / 2 + 1 / 4) / 2
    assert facts["test"]["box_aspect"] == (6 / 4 + 0) / 2


def test_duplicates_within_a_split_are_those_beyond_the_first() -> None:
    facts = facts_of(single_pixels([5, 5, 8, 5, 8, 9], [0, 1, 0, 0, 0, 0]), single_pixels([1, 2], [0, 0]))
    assert (facts["train"]["duplicates"], facts["test"]["duplicates"]) == (3, 0)
    assert facts["duplicates_across"] == 0


def test_duplicates_across_are_the_test_images_that_stand_in_train() -> None:
    facts = facts_of(single_pixels([5, 5, 8], [0, 0, 0]), single_pixels([8, 1, 8, 8], [0, 0, 1, 0]))
    assert facts["duplicates_across"] == 3


def test_centroid_accuracy_by_hand() -> None:
    """The mean image of label 3 is 50, that of label 7 is 190: an image is taken for a 7 from 121 on."""
    train = single_pixels([0, 100, 121, 255, 194], [3, 3, 7, 7, 7])
    test = single_pixels([119, 121, 0, 255, 255], [3, 3, 7, 7, 9])
    facts = facts_of(train, test)
    assert (facts["train"]["centroid_accuracy"], facts["test"]["centroid_accuracy"]) == (1, 2 / 5)


def test_images_of_another_size_are_near_no_centroid() -> None:
    facts = facts_of(split([EQUAL, BLACK], [0, 1]), single_pixels([0], [1]))
    assert (facts["train"]["centroid_accuracy"], facts["test"]["centroid_accuracy"]) == (1, 0)


def test_facts_can_be_written_as_json(splits: dict[SplitName, Split]) -> None:
    facts = facts_of(splits["train"], splits["test"])
    assert json.loads(json.dumps(facts)) == facts


def test_statistics_by_hand() -> None:
    tables = {name: image_table(name, split(IMAGES, [7, 0, 255, 3, 3])) for name in SPLIT_FILES}
    table = statistics(tables).set_index(["split", "column"])
    side = table.loc[("test", "box_side")]
    assert (side["min"], side["mean"], side["50%"], side["max"]) == (0, 3.8, 4, 6)
    assert {name for name, _ in table.index} == {"train", "test"}
    assert not {"label", "image", "content"} & {column for _, column in table.index}
