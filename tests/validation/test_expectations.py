"""Good data pass, and every key of a suite acts on the expectations that it is of and on no other."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.params import Suite
from mnist_pipeline.validation.expectations import WHOLE_SET, Judgement, judge
from mnist_pipeline.validation.profile import image_tables, whole_set_facts

Splits = Mapping[SplitName, Split]
Judge = Callable[..., Judgement]
SPLITS: tuple[SplitName, ...] = ("train", "test")
ACROSS = "test images that stand in train, share"


def changed(suite: Suite, **values: Any) -> Suite:
    return suite.model_copy(update=values)


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
            | {(WHOLE_SET, ACROSS, "0 to 0.003")},
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


@pytest.fixture(scope="module")
def lenient(suite: Suite) -> Suite:
    """Allows exactly the blank and the repeated images of `flawed`; what else it has `idx` allows."""
    return changed(suite, max_blank_share=0.005, max_duplicate_share=0.015)


@pytest.fixture(scope="module")
def data_docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data_docs")
    (folder / "of_an_earlier_judgement.html").touch()
    return folder


@pytest.fixture(scope="module")
def of_good_data(judged: Judge, splits: Splits, suite: Suite, data_docs: Path) -> tuple[Judgement, list[Any]]:
    """The judgement of good data, and the addresses that it looked for."""
    sought: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda self, address: sought.append(address))
        patch.setattr(socket, "getaddrinfo", lambda *address, **options: sought.append(address) or [])
        return judged(splits, suite, data_docs), sought


@pytest.fixture(scope="module")
def of_tighter_suites(judged: Judge, splits: Splits, lenient: Suite) -> list[set[tuple[str, str, str]]]:
    judgements = [
        judged(flawed(splits), changed(lenient, **{key: value for key, (value, _) in keys.items()})) for keys in TIGHTER
    ]
    return [{(of.table, of.column, of.expected) for of in judgement.failures} for judgement in judgements]


def test_good_data_pass(of_good_data: tuple[Judgement, list[Any]]) -> None:
    of_a_split = 13 + 7 + 10 + 1
    assert of_good_data[0] == Judgement(2 * of_a_split + 1, ())


def test_the_gate_needs_no_network(of_good_data: tuple[Judgement, list[Any]]) -> None:
    assert of_good_data[1] == []


@pytest.mark.usefixtures("of_good_data")
def test_data_docs_are_of_this_judgement_alone(data_docs: Path) -> None:
    assert "<html" in (data_docs / "index.html").read_text()
    assert len(list((data_docs / "validations").rglob("*.html"))) == 3
    assert not (data_docs / "of_an_earlier_judgement.html").exists()


def test_the_shares_are_what_may_be_flawed(judged: Judge, splits: Splits, lenient: Suite) -> None:
    assert judged(flawed(splits), lenient).failures == ()


def test_no_class_may_be_many_times_larger_than_another(judged: Judge, splits: Splits, suite: Suite) -> None:
    threes = np.flatnonzero(splits["test"].labels == 3)
    fewer = {**splits, "test": splits["test"].take(np.setdiff1d(np.arange(200), threes[:10]))}
    assert judged(fewer, changed(suite, max_class_ratio=2.0)).failures == ()
    (failure,) = judged(fewer, changed(suite, max_class_ratio=1.9)).failures
    assert (failure.column, failure.expected, failure.observed) == ("test/class_ratio", "1 to 1.9", "2")


def test_no_key_of_a_suite_is_left_out() -> None:
    assert {key for keys in TIGHTER for key in keys} | {"max_class_ratio"} == set(Suite.model_fields)


@pytest.mark.parametrize(("group", "key"), [(group, key) for group, keys in enumerate(TIGHTER) for key in keys])
def test_a_tighter_key_fails_its_expectations(
    of_tighter_suites: list[set[tuple[str, str, str]]], group: int, key: str
) -> None:
    assert TIGHTER[group][key][1] <= of_tighter_suites[group]


@pytest.mark.parametrize("group", range(len(TIGHTER)))
def test_tighter_keys_fail_no_other_expectation(of_tighter_suites: list[set[tuple[str, str, str]]], group: int) -> None:
    assert of_tighter_suites[group] == set().union(*(failed for _, failed in TIGHTER[group].values()))


def test_a_missing_column_is_named(splits: Splits, suite: Suite, tmp_path: Path) -> None:
    tables = image_tables(splits)
    facts = whole_set_facts(splits, tables)
    del tables["train"]["std"], facts["test"]["pixel_mean"]
    image, fact = judge(tables, facts, suite, tmp_path).failures
    assert (image.table, image.column, image.rows) == ("train", "std", None)
    assert 'The column "std" in BatchData does not exist' in image.observed
    assert (fact.table, fact.column, fact.rows) == (WHOLE_SET, "test/pixel_mean", None)
    assert 'The column "test/pixel_mean" in BatchData does not exist' in fact.observed
