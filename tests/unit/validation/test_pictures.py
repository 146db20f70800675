"""Pictures of any size, in grey, colour and with opacity, few or of many classes, are measured as MNIST's are."""

import time
from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation import labels, pixels
from mnist_pipeline.validation.duplicates import NEAR, REACH
from mnist_pipeline.validation.expectations import Failure
from mnist_pipeline.validation.labels import contradictions
from mnist_pipeline.validation.pixels import reduced
from mnist_pipeline.validation.proposal import propose
from mnist_pipeline.validation.statistics import image_table, image_tables, whole_set_facts
from mnist_pipeline.validation.suite import Suite, load_suite

Splits = dict[SplitName, Split]
SUITES = Path(__file__).parents[3] / "suites"


def pictures(count: int, side: int, channels: int, classes: int, seed: int) -> Split:
    """Noisy pictures of four times four fields, each class with its own; the first channel is brightest."""
    fields = np.random.default_rng(0).integers(40, 180, (classes, 4, 4, channels))
    fields[..., 0] += 30
    random = np.random.default_rng(seed)
    own = np.arange(count) % classes
    drawn = fields[own] + random.normal(0, 15, (count, 4, 4, channels))
    large = drawn.repeat(side // 4, 1).repeat(side // 4, 2)
    noise = random.normal(0, 5, large.shape) if large.size < 10**7 else random.normal(0, 5, large.shape[1:])
    return Split(np.clip(large + noise, 0, 255).astype(np.uint8), own)


def both(train: int, test: int, side: int, channels: int, classes: int) -> Splits:
    return {
        "train": pictures(train, side, channels, classes, 1),
        "test": pictures(test, side, channels, classes, 2),
    }


def proposed(splits: Splits, classes: int) -> Suite:
    tables = image_tables(splits)
    return Suite(**propose(tables, whole_set_facts(splits, tables), classes, of_strokes=False, exact_counts=False))


def numbers(classes: int) -> list[str]:
    return [str(label) for label in range(classes)]


@pytest.fixture(scope="module")
def colour() -> Splits:
    return both(200, 60, 32, 3, 5)


@pytest.mark.parametrize(
    ("train", "test", "side", "channels", "classes"),
    [(150, 50, 8, 1, 2), (80, 20, 224, 3, 4), (150, 50, 32, 4, 5), (470, 94, 12, 3, 47), (2000, 1000, 8, 3, 1000)],
)
def test_good_pictures_pass_the_suite_of_all_kinds_and_their_own(
    failures_of, train: int, test: int, side: int, channels: int, classes: int
) -> None:
    splits = both(train, test, side, channels, classes)
    begun = time.perf_counter()
    for suite in (load_suite(SUITES / "any.yaml"), proposed(splits, classes)):
        assert failures_of(splits, suite, numbers(classes)) == []
    assert time.perf_counter() - begun < 60


def test_a_class_of_a_thousand_that_lost_its_images_is_named(failures_of) -> None:
    splits = both(2000, 1000, 8, 3, 1000)
    kept = {name: split.take(np.flatnonzero(split.labels != 777)) for name, split in splits.items()}
    names = [f"class {label}" for label in range(1000)]
    suite = load_suite(SUITES / "any.yaml")
    assert [failure.column for failure in failures_of(kept, suite, names)] == ["train/count/777 (class 777)"]
    assert failures_of(splits | {"test": kept["test"]}, suite, names) == []


def changed(failures: list[Failure]) -> set[str]:
    return {failure.column.removeprefix("train/").removeprefix("test/") for failure in failures}


def test_swapped_colour_channels_fail_the_suite_that_profile_writes(failures_of, colour: Splits) -> None:
    suite = proposed(colour, 5)
    swapped = {name: Split(split.images[..., ::-1], split.labels) for name, split in colour.items()}
    found = changed(failures_of(swapped, suite, numbers(5)))
    assert {"colour_balance/red", "colour_balance/blue"} <= found
    assert not found & {"mean", "std", "sharpness", "height", "label"}  # which do not change
    grey = {name: Split(split.images[..., :1], split.labels) for name, split in colour.items()}
    assert {"channels", "colour_balance/red"} <= changed(failures_of(grey, suite, numbers(5)))


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (32, 4), (224, 3)])
def test_copies_that_differ_by_a_grey_level_are_near_in_colour_and_of_any_size(side: int, channels: int) -> None:
    splits = both(60, 30, side, channels, 5)
    test = splits["test"].images.copy()
    test[7], test[8] = splits["train"].images[11] + 1, splits["train"].images[12]
    tables = image_tables(splits | {"test": Split(test, splits["test"].labels)})
    assert np.flatnonzero(tables["test"]["nearest"] <= NEAR).tolist() == [7, 8]
    assert np.flatnonzero(tables["train"]["nearest"] <= NEAR).tolist() == [11, 12]
    assert tables["test"]["nearest"][7:9].tolist() == pytest.approx([28, 0], abs=0.1)
    assert (tables["test"]["nearest"][9:] == REACH).all()


@pytest.mark.parametrize("channels", [3, 4])
def test_wrong_labels_of_colour_pictures_are_contradicted(channels: int) -> None:
    splits = both(300, 100, 68, channels, 5)  # larger than what the classifier looks at
    wrong = splits["train"].labels.copy()
    wrong[::50] = (wrong[::50] + 1) % 5
    found = contradictions(splits | {"train": Split(splits["train"].images, wrong)})["train"]
    assert sorted(np.argsort(found)[-6:].tolist()) == list(range(0, 300, 50))


def test_transparent_pictures_are_distinguished_by_their_opacity() -> None:
    """Black drawings on nothing, as icons are."""
    splits = both(300, 100, 32, 4, 5)
    for split in splits.values():
        split.images[..., :3] = 0
    assert (contradictions(splits)["test"] <= 0).mean() > 0.9


def test_columns_of_colour_by_hand() -> None:
    images = np.zeros((2, 2, 2, 3), np.uint8)
    images[0] = [30, 60, 90]
    images[1, 0] = [0, 40, 200]
    table = image_table("train", Split(images, np.array([0, 1])))
    assert table[["red", "green", "blue", "mean"]].values.tolist() == [[30, 60, 90, 60], [0, 20, 100, 40]]
    assert table["std"].tolist() == [0, pytest.approx(np.sqrt((20**2 + 100**2) / 3))]  # one colour is blank
    assert table["box_height"].tolist() == [2, 1]
    assert table["grey_levels"].tolist() == [3, 3]
    splits: Splits = {name: Split(images, np.array([0, 1])) for name in ("train", "test")}
    facts = whole_set_facts(splits, image_tables(splits))["train"]
    assert (facts["blank"], facts["pixel_std"]) == (1, pytest.approx(images.std() / 255, abs=1e-6))
    assert facts["colour_balance"] == pytest.approx([-35 / 255, -10 / 255, 45 / 255], abs=1e-6)


def test_patches_are_of_the_same_places_in_each_channel() -> None:
    images = np.zeros((40, 70, 40, 3), np.uint8)
    images[..., 1] = np.random.default_rng(0).integers(0, 256, images.shape[:3])
    patches = labels._random_patches(images)
    assert patches.shape == (labels.PATCHES, 3, 9, 9)
    assert [patches[:, channel].std((1, 2)).max().item() > 0.01 for channel in range(3)] == [False, True, False]


def test_large_pictures_of_one_colour_are_blank() -> None:
    images = np.full((3, 301, 299, 3), [203, 255, 91], np.uint8)
    assert image_table("train", Split(images, np.zeros(3, int)))["std"].tolist() == [0, 0, 0]


def test_few_images_at_a_time_give_the_same_numbers(colour: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = image_tables(colour)
    facts = whole_set_facts(colour, whole)
    monkeypatch.setattr(pixels, "CHUNK", 7000)  # two images
    parts = image_tables(colour)
    for name, table in whole.items():
        np.testing.assert_allclose(
            *(each.select_dtypes("number") for each in (parts[name], table)), rtol=1e-5, atol=1e-5
        )
    assert whole_set_facts(colour, parts) == facts


def test_large_images_are_reduced_to_the_means_of_blocks() -> None:
    images = np.arange(5 * 9 * 3, dtype=np.uint8).reshape(1, 5, 9, 3)
    assert reduced(images, 9) is images
    found = reduced(images, 3)
    assert found.shape == (1, 2, 3, 3)
    assert found[0, 1, 2, 0] == images[0, 2:4, 6:9, 0].mean()
