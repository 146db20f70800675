"""Good data pass, and every key of a suite acts on the expectations that it is of and on no other."""

import socket
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation.expectations import LEAKED, WHOLE_SET
from mnist_pipeline.validation.suite import Suite

Splits = Mapping[SplitName, Split]
SPLITS: tuple[SplitName, ...] = ("train", "test")


def of_images(column: str, expected: str) -> set[tuple[str, str, str]]:
    return {(split, column, expected) for split in SPLITS}


def of_both(fact: str, expected: str) -> set[tuple[str, str, str]]:
    return {(WHOLE_SET, f"{split}/{fact}", expected) for split in SPLITS}


def of_counts(split: str, labels: range, expected: str) -> set[tuple[str, str, str]]:
    return {(WHOLE_SET, f"{split}/count/{label}", expected) for label in labels}


TIGHTER: tuple[dict[str, tuple[Any, set[tuple[str, str, str]]]], ...] = (
    {
        "classes": (9, of_images("label", "0 to 8")),
        "train_counts": ([40] * 8 + [39], of_counts("train", range(8, 9), "39")),
        "test_min_per_class": (21, of_counts("test", range(9), "at least 21")),
        "pixel_mean": ([0.01, 0.07], of_both("pixel_mean", "0.01 to 0.07")),
        "pixel_std": ([0.02, 0.2], of_both("pixel_std", "0.02 to 0.2")),
        "image_shape": ([28, 28, 3], of_images("channels", "3")),
        "colour_balance": ([[0.1, 0.2]], of_both("colour_balance/red", "0.1 to 0.2")),
        "brightness": ([0.5, 16], of_images("mean", "0.5 to 16, in 99.0000% of the images")),
        "contrast": ([0, 60], of_images("std", "0 to 60, in 99.0000% of the images")),
        "brightest": ([254, 255], of_images("max", "254 to 255, in 99.0000% of the images")),
        "min_sharpness": (245.0, of_images("sharpness", "at least 245, in 99.0000% of the images")),
        "grey_levels": ([2, 60], of_both("grey_levels", "2 to 60")),
        "few_grey_levels": ([1, 40], of_both("few_grey_levels", "1 to 40")),
        "roughness": ([0, 0.35], of_images("roughness", "0 to 0.35, in 99.0000% of the images")),
        "ink_fraction": ([0, 0.088], of_images("ink_fraction", "0 to 0.088, in 99.0000% of the images")),
        "box_side": ([17, 28], of_images("box_side", "17 to 28, in 99.0000% of the images")),
        "box_aspect": ([0.2, 1.1], of_both("box_aspect", "0.2 to 1.1")),
        "max_centre_distance": (0.7, of_images("centre_distance", "0 to 0.7, in 99.0000% of the images")),
        "min_agreement": (1.0, of_both("agreement", "1")),
        "min_centroid_accuracy": (1.0, of_both("centroid_accuracy", "1")),
    },
    {
        "test_counts": ([20] * 9 + [19], of_counts("test", range(9, 10), "19")),
        "train_min_per_class": (41, of_counts("train", range(10), "at least 41")),
        "max_outlier_share": (
            0.001,
            of_images("ink_fraction", "0 to 0.95, in 99.9000% of the images")
            | of_images("sharpness", "at least 8, in 99.9000% of the images"),
        ),
        "max_contradicted_share": (0.001, of_images("contradiction", "at most 1.2, in 99.9000% of the images")),
        "max_blank_share": (0.002, of_images("std", "above 0, in 99.8000% of the images")),
        "max_duplicate_share": (
            0.003,
            of_images("content", "no value twice, in 99.7000% of the images")
            | of_images("nearest", "above 64, in 99.7000% of the images")
            | {(WHOLE_SET, LEAKED, "0 to 0.003")},
        ),
    },
)
"""Keys whose expectations fail side by side: what each is tightened to, and what is then not met."""


def flawed(splits: Splits) -> dict[SplitName, Split]:
    """In each split one grey image and one that stands twice; one image of train stands in test too."""
    images = {name: splits[name].images.copy() for name in SPLITS}
    images["train"][3], images["test"][3] = 200, 190
    for name in SPLITS:
        images[name][5] = images[name][6]
    images["test"][8] = images["train"][7]
    return {name: Split(images[name], splits[name].labels) for name in SPLITS}


def test_good_data_pass_without_a_network(failures_of, splits: Splits, suite: Suite, monkeypatch) -> None:
    sought: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: sought.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **options: sought.append(address) or [])
    assert failures_of(splits, suite) == []
    assert sought == []


def test_no_class_may_be_many_times_larger_than_another(failures_of, splits: Splits, suite: Suite) -> None:
    threes = np.flatnonzero(splits["test"].labels == 3)
    fewer = {**splits, "test": splits["test"].take(np.setdiff1d(np.arange(200), threes[:10]))}
    assert failures_of(fewer, suite.model_copy(update={"max_class_ratio": 2.0})) == []
    (failure,) = failures_of(fewer, suite.model_copy(update={"max_class_ratio": 1.9}))
    assert (failure.column, failure.expected, failure.observed) == ("test/class_ratio", "1 to 1.9", "2")


def test_no_key_of_a_suite_is_left_out() -> None:
    tested_alone = {"max_class_ratio", "max_unreadable_share", "without_test_images"}
    assert {key for keys in TIGHTER for key in keys} | tested_alone == set(Suite.model_fields)


@pytest.mark.parametrize("keys", TIGHTER)
def test_tighter_keys_fail_their_expectations_and_no_other(failures_of, splits: Splits, suite: Suite, keys) -> None:
    lenient = {"max_blank_share": 0.005, "max_duplicate_share": 0.015}  # of exactly the flaws
    tighter = suite.model_copy(update=lenient | {key: value for key, (value, _) in keys.items()})
    found = {(failure.table, failure.column, failure.expected) for failure in failures_of(flawed(splits), tighter)}
    assert found == set().union(*(failed for _, failed in keys.values()))


def test_a_failure_has_the_first_images_that_are_unexpected_and_what_they_have(failures_of, splits, suite) -> None:
    strict = suite.model_copy(update={"max_blank_share": 0.0, "max_duplicate_share": 0.0})
    images = flawed(splits)
    labels = np.where(np.arange(400) % 45 == 17, 10 + np.arange(400) % 4, images["train"].labels).astype(np.uint8)
    images["train"] = Split(images["train"].images, labels)
    found = {(failure.table, failure.column): failure for failure in failures_of(images, strict)}
    label, std, content = (found[("train", column)] for column in ("label", "std", "content"))
    assert (label.expected, label.observed, label.count) == ("0 to 9", "11, 12, 13", 9)
    assert label.examples == tuple(range(17, 400, 45))[:8]
    assert (std.observed, std.count, std.examples) == ("0", 1, (3,))
    assert (len(content.observed), content.count, content.examples) == (7, 2, (5, 6))  # the start of one digest
    assert found[("test", "nearest")].examples == (5, 6, 8)
    leaked = found[(WHOLE_SET, LEAKED)]
    assert (leaked.expected, leaked.observed, leaked.count, leaked.examples) == ("0", "0.005", None, ())
