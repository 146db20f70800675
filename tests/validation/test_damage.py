"""Each damage is caught by the expectation that is meant to, and the failure says where."""

import re
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.params import Suite
from mnist_pipeline.validation.expectations import WHOLE_SET, Failure, Judgement

Splits = dict[SplitName, Split]
Judgements = Mapping[str, Mapping[tuple[str, str], Failure]]


def turn(splits: Splits) -> None:
    for name, split in splits.items():
        splits[name] = Split(np.rot90(split.images, axes=(1, 2)), split.labels)


def label_beyond_the_classes(splits: Splits) -> None:
    splits["train"].labels[17] = 10


def swap_two_classes(splits: Splits) -> None:
    labels = splits["test"].labels
    threes = labels == 3
    labels[labels == 4] = 3
    labels[threes] = 4


def lose_a_class(splits: Splits) -> None:
    splits["test"] = splits["test"].take(np.flatnonzero(splits["test"].labels != 6))


def blank(splits: Splits) -> None:
    splits["train"].images[4] = 0
    splits["train"].images[9] = 7


def repeat(splits: Splits) -> None:
    splits["train"].images[12] = splits["train"].images[11]


def leak(splits: Splits) -> None:
    splits["test"].images[5] = splits["train"].images[7]


def shift(splits: Splits) -> None:
    splits["test"].images[2:4] = np.roll(splits["test"].images[2:4], 5, axis=1)


def relabel_a_class(splits: Splits) -> None:
    splits["train"].labels[splits["train"].labels == 3] = 4


def lose_an_image(splits: Splits) -> None:
    last = np.flatnonzero(splits["train"].labels == 2)[-1]
    splits["train"] = splits["train"].take(np.delete(np.arange(len(splits["train"])), last))


def crop(splits: Splits) -> None:
    splits["test"] = Split(splits["test"].images[:, 4:24, 3:25], splits["test"].labels)


def invert(splits: Splits) -> None:
    for name, split in splits.items():
        splits[name] = Split(255 - split.images, split.labels)


def narrowed(splits: Splits) -> Splits:
    """Copies in which all images are higher than wide, as digits are."""
    result: Splits = {}
    for name, split in splits.items():
        images = np.zeros_like(split.images)
        images[:, :, 10:18] = split.images[:, :, 10:18]
        result[name] = Split(images, split.labels.copy())
    return result


def exacting(suite: Suite) -> Suite:
    """Fits the narrowed images as closely as the suite of MNIST fits MNIST."""
    return suite.model_copy(
        update={
            "train_counts": [40] * 10,
            "test_counts": [20] * 10,
            "pixel_mean": [0.05, 0.06],
            "pixel_std": [0.19, 0.21],
            "ink_fraction": [0.03, 0.1],
            "box_side": [8, 18],
            "box_aspect": [0.65, 0.75],
            "max_centre_distance": 0.9,
            "max_outlier_share": 0.0,
            "max_blank_share": 0.0,
            "max_duplicate_share": 0.0,
            "min_centroid_accuracy": 0.95,
        }
    )


DAMAGES: dict[str, tuple[Callable[[Splits], None], ...]] = {
    "turned": (turn, label_beyond_the_classes, swap_two_classes, lose_a_class),
    "spotted": (blank, repeat, leak, shift),
    "cropped": (relabel_a_class, lose_an_image, crop),
    "inverted": (invert,),
}
"""Damages that can be told apart in one judgement."""

FIRST = (0, 1, 2, 3, 4, 5, 6, 7)
CAUGHT: dict[str, list[tuple[str, str, str, str, int | None, tuple[int, ...]]]] = {
    "turned": [
        (WHOLE_SET, "train/box_aspect", "0.65 to 0.75", r"1\.7\d+", None, ()),
        (WHOLE_SET, "test/box_aspect", "0.65 to 0.75", r"1\.6\d+", None, ()),
        ("train", "label", "0 to 9", "10", 1, (17,)),
        (WHOLE_SET, "train/count/5", "40", "39", None, ()),
        (WHOLE_SET, "test/centroid_accuracy", "0.95 to 1", r"0\.7\d+", None, ()),
        (WHOLE_SET, "test/count/6", "20", "0", None, ()),
        (
            "test",
            "contradiction",
            "at most 1.2, in 95.0000% of the images",
            r"1\.\d+(, 1\.\d+){2}",
            40,
            (1, 6, 21, 26, 27, 33, 40, 43),
        ),
    ],
    "spotted": [
        ("train", "std", "above 0", "0", 2, (4, 9)),
        ("train", "max", "64 to 255", "0, 7", 2, (4, 9)),
        ("train", "ink_fraction", "0.03 to 0.1", "0", 2, (4, 9)),
        ("train", "box_side", "8 to 18", "0, 28", 2, (4, 9)),
        ("train", "centre_distance", "0 to 0.9", r"19\.799", 1, (4,)),
        ("train", "content", "no value twice", r"\w{7}", 2, (11, 12)),
        ("train", "nearest", "above 64", "0", 3, (7, 11, 12)),
        ("test", "nearest", "above 64", "0", 1, (5,)),
        ("train", "sharpness", "at least 8", "0", 2, (4, 9)),
        (WHOLE_SET, "test images that stand in train, share", "0", r"0\.005", None, ()),
        ("test", "centre_distance", "0 to 0.9", r"4\.\d+(, 4\.\d+)?", 2, (2, 3)),
    ],
    "cropped": [
        (WHOLE_SET, "train/count/3", "40", "0", None, ()),
        (WHOLE_SET, "train/count/4", "40", "80", None, ()),
        (WHOLE_SET, "train/count/2", "40", "39", None, ()),
        ("test", "height", "28", "20", 200, FIRST),
        ("test", "width", "28", "22", 200, FIRST),
        (WHOLE_SET, "test/centroid_accuracy", "0.95 to 1", "0", None, ()),
        (WHOLE_SET, "test/agreement", "0.3 to 1", "0", None, ()),
        ("test", "contradiction", "at most 1.2, in 95.0000% of the images", "2", 200, FIRST),
        (WHOLE_SET, "test/pixel_mean", "0.05 to 0.06", r"0\.09\d+", None, ()),
        (WHOLE_SET, "test/pixel_std", "0.19 to 0.21", r"0\.26\d+", None, ()),
        ("test", "ink_fraction", "0.03 to 0.1", r"0\.1\d*(, 0\.1\d*){2}", 100, (1, 2, 3, 5, 6, 7, 8, 9)),
    ],
    "inverted": [
        (WHOLE_SET, "train/pixel_mean", "0.05 to 0.06", r"0\.94\d+", None, ()),
        (WHOLE_SET, "test/pixel_mean", "0.05 to 0.06", r"0\.94\d+", None, ()),
        (WHOLE_SET, "train/box_aspect", "0.65 to 0.75", "1", None, ()),
        (WHOLE_SET, "test/box_aspect", "0.65 to 0.75", "1", None, ()),
        ("train", "box_side", "8 to 18", "28", 400, FIRST),
        ("test", "box_side", "8 to 18", "28", 200, FIRST),
        ("train", "ink_fraction", "0.03 to 0.1", r"0\.9.*", 400, FIRST),
        ("test", "ink_fraction", "0.03 to 0.1", r"0\.9.*", 200, FIRST),
    ],
}
"""All that is not met: of what, column, expected, observed, number of images and the first of them."""


def damaged(splits: Splits, *names: str) -> Splits:
    result = narrowed(splits)
    for name in names:
        for damage in DAMAGES[name]:
            damage(result)
    return result


def blamed(judgement: Judgement) -> dict[tuple[str, str], Failure]:
    return {(failure.table, failure.column): failure for failure in judgement.failures}


@pytest.fixture(scope="module")
def judgements(judged: Callable[..., Judgement], splits: Splits, suite: Suite) -> Judgements:
    return {name: blamed(judged(damaged(splits, name), exacting(suite))) for name in DAMAGES}


@pytest.mark.parametrize(("name", "failure"), [(name, failure) for name in CAUGHT for failure in CAUGHT[name]])
def test_a_damage_is_caught(judgements: Judgements, name: str, failure: tuple) -> None:
    table, column, expected, observed, rows, examples = failure
    found = judgements[name][table, column]
    assert (found.expected, found.rows, found.examples) == (expected, rows, examples)
    assert re.fullmatch(observed, found.observed)


@pytest.mark.parametrize("name", DAMAGES)
def test_nothing_else_is_blamed(judgements: Judgements, name: str) -> None:
    assert set(judgements[name]) == {failure[:2] for failure in CAUGHT[name]}


def test_all_damages_at_once_are_judged(judged: Callable[..., Judgement], splits: Splits, suite: Suite) -> None:
    found = set(blamed(judged(damaged(splits, *DAMAGES), exacting(suite))))
    assert found > {("train", column) for column in ("label", "std", "content", "box_side", "ink_fraction")}
    assert found > {("test", "height"), ("test", "width"), (WHOLE_SET, "train/count/3"), (WHOLE_SET, "test/count/6")}
