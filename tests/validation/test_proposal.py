"""The thresholds that trusted data propose let these data pass, and data like them, and not damaged ones."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import bars
from mnist_pipeline.data.dataset import SPLIT_FILES, Split, SplitName
from mnist_pipeline.params import Suite
from mnist_pipeline.validation import proposal
from mnist_pipeline.validation.expectations import Judgement
from mnist_pipeline.validation.profile import image_tables, whole_set_facts
from mnist_pipeline.validation.proposal import propose

Splits = Mapping[SplitName, Split]


def proposed(splits: Splits, exact_counts: bool = False) -> Suite:
    tables = image_tables(splits)
    return Suite(**propose(tables, whole_set_facts(splits, tables), exact_counts))


@pytest.fixture(scope="module")
def suite(splits: Splits) -> Suite:
    return proposed(splits)


def others() -> dict[SplitName, Split]:
    return {"train": Split(*bars(400, seed=11)), "test": Split(*bars(200, seed=12))}


def told(images: int, **changed: Any) -> pd.DataFrame:
    """Of so many images, half of which have more ink and larger boxes."""
    half = np.arange(images) % 2
    columns = {
        "label": half,
        "height": 28,
        "width": 28,
        "mean": 51.0,
        "std": 76.5,
        "max": 200 + 50 * half,
        "grey_levels": 60,
        "sharpness": 150 + 100 * half,
        "roughness": 0.5 + 0.5 * half,
        "ink_fraction": 0.1 + 0.1 * half,
        "box_height": 20,
        "box_width": 16,
        "box_side": 10 + 10 * half,
        "centre_distance": 0.5 * half,
        "contradiction": -1.0,
        "nearest": 128.0,
    }
    return pd.DataFrame(columns | changed, index=range(images))


def test_every_threshold_by_hand() -> None:
    """Chance aside, where all images are alike; accuracies and shares with four of their deviations."""
    tables: dict[SplitName, pd.DataFrame] = {
        "train": told(100, contradiction=np.where(np.arange(100) == 3, 1.5, -1)),
        "test": told(50, nearest=np.where(np.arange(50) < 2, 0, 128)),
    }
    fact = {"pixel_std": 0.3, "agreement": 0.9, "centroid_accuracy": 0.8}
    facts = {"train": fact | {"count": {"0": 64, "1": 36}}, "test": fact | {"count": {"0": 25, "1": 25}}}
    assert propose(tables, facts, exact_counts=False) == {
        "classes": 2,
        "train_counts": None,
        "test_counts": None,
        "train_min_per_class": 8,  # 0.9 · 36 - 4 · 6
        "test_min_per_class": 2,  # 0.9 · 25 - 4 · 5
        "max_class_ratio": pytest.approx(3.5852),  # 1.1 · 64 / 36 · (1 + 4 √(1 / 36 + 1 / 64))
        "pixel_mean": [0.196, 0.204],
        "pixel_std": [0.294, 0.306],
        "box_aspect": [0.784, 0.816],
        "grey_levels": [58, 62],
        "few_grey_levels": [59, 61],
        "brightest": [200, 250],
        "min_sharpness": 150,
        "roughness": [0.5, 1.0],
        "ink_fraction": [0.1, 0.2],
        "box_side": [10, 20],
        "max_centre_distance": 0.5,
        "max_outlier_share": 0.18,  # 9 of 50: more by chance once in 120,000 times
        "max_blank_share": 0,
        "max_duplicate_share": pytest.approx(0.1786),  # 2 + 4 √3 of 50
        "max_contradicted_share": 0.08,  # 4 of 50 are more than 1 + 4 √2 of 100
        "min_agreement": pytest.approx(0.7202),  # 0.9 - 0.01 - 4 √(0.9 · 0.1 / 50)
        "min_centroid_accuracy": pytest.approx(0.5637),
    }


def test_of_images_that_differ_a_mean_has_room_for_chance() -> None:
    differing = 51 + 10 * (np.arange(100) % 2)
    tables: dict[SplitName, pd.DataFrame] = {name: told(100, mean=differing) for name in SPLIT_FILES}
    fact = {"pixel_std": 0.3, "agreement": 1.0, "centroid_accuracy": 1.0, "count": {"0": 50, "1": 50}}
    found = propose(tables, {"train": fact, "test": fact}, exact_counts=True)
    assert found["pixel_mean"] == pytest.approx([56 / 255 * 0.98 - 2 / 255, 56 / 255 * 1.02 + 2 / 255], abs=1e-4)
    assert (found["train_counts"], found["test_counts"]) == ([50, 50], [50, 50])


def test_as_many_other_images_are_beyond_the_trusted_as_chance_puts_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "BY_ACCIDENT", 0.05)
    random = np.random.default_rng(0)
    for other, trusted in ((100, 100), (50, 350), (300, 100)):
        drawn = random.random((4000, other + trusted))
        known, rest = drawn[:, :trusted], drawn[:, trusted:]
        beyond = ((rest < known.min(1, keepdims=True)) | (rest > known.max(1, keepdims=True))).sum(1)
        allowed = proposal._beyond(other, trusted)
        assert (beyond > allowed).mean() < 0.06
        assert (beyond > allowed - 1).mean() > 0.04


def with_images(splits: Splits, change: Callable[[np.ndarray], Any]) -> dict[SplitName, Split]:
    return {name: Split(change(split.images).astype(np.uint8), split.labels) for name, split in splits.items()}


def test_the_data_themselves_and_others_like_them_pass(
    judged: Callable[..., Judgement], splits: Splits, suite: Suite
) -> None:
    assert judged(splits, suite).failures == ()
    assert judged(others(), suite).failures == ()


def test_only_the_data_themselves_have_the_exact_counts(judged: Callable[..., Judgement], splits: Splits) -> None:
    exact = proposed(splits, exact_counts=True)
    assert judged(splits, exact).failures == ()
    fewer = {**splits, "train": splits["train"].take(np.arange(399))}
    assert {failure.column for failure in judged(fewer, exact).failures} == {
        f"train/count/{splits['train'].labels[399]}"
    }


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda images: 255 - images, "ink_fraction"),
        (lambda images: images * 0.7, "max"),
        (lambda images: images // 17 * 17, "train/grey_levels"),
        (lambda images: np.where(images > 127, 255, 0), "train/few_grey_levels"),
        (lambda images: np.roll(images, 3, axis=2), "centre_distance"),
        (lambda images: images[:, :, ::-1], "contradiction"),
    ],
)
def test_damaged_data_do_not(judged: Callable[..., Judgement], splits: Splits, suite: Suite, change, column) -> None:
    damaged = {**splits, "test": with_images(splits, change)["test"]}
    if column.startswith("train"):
        damaged = with_images(splits, change)
    assert column in {failure.column for failure in judged(damaged, suite).failures}


def test_repeated_images_in_trusted_data_are_allowed_for(judged: Callable[..., Judgement], splits: Splits) -> None:
    images = splits["train"].images.copy()
    images[1:3] = images[0]
    repeated = {**splits, "train": Split(images, splits["train"].labels)}
    assert judged(repeated, proposed(repeated)).failures == ()
