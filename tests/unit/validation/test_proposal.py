"""The thresholds that trusted data propose let these data pass, and data like them, and not damaged ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import bars
from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation.proposal import propose
from mnist_pipeline.validation.statistics import image_tables, whole_set_facts
from mnist_pipeline.validation.suite import Suite

Splits = Mapping[SplitName, Split]


def proposed(splits: Splits, exact_counts: bool = False) -> Suite:
    tables = image_tables(splits)
    return Suite(**propose(tables, whole_set_facts(splits, tables), 10, True, exact_counts))


def split_of_bars(count: int, seed: int) -> Split:
    images, labels = bars(count, seed)
    return Split(images[..., None], labels.astype(np.int64))


@pytest.fixture(scope="module")
def suite(splits: Splits) -> Suite:
    return proposed(splits)


def table_of(images: int, **changed: Any) -> pd.DataFrame:
    """Of so many images, half of which have more ink and larger boxes."""
    half = np.arange(images) % 2
    columns = {
        "label": half,
        "height": 28,
        "width": 28,
        "channels": 1,
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
        "train": table_of(
            100, mean=46.0 + 10 * (np.arange(100) % 2), contradiction=np.where(np.arange(100) == 3, 1.5, -1)
        ),
        "test": table_of(50, nearest=np.where(np.arange(50) < 2, 0, 128)),
    }
    fact = {"pixel_std": 0.3, "agreement": 0.9, "centroid_accuracy": 0.8}
    facts = {"train": fact | {"count": {"0": 64, "1": 36}}, "test": fact | {"count": {"0": 25, "1": 25}}}
    assert propose(tables, facts, classes=2, of_strokes=True, exact_counts=False) == {
        "classes": 2,
        "image_shape": [28, 28, 1],
        "train_min_per_class": 8,  # 0.9 · 36 - 4 · 6
        "test_min_per_class": 2,  # 0.9 · 25 - 4 · 5
        "max_class_ratio": pytest.approx(3.5852),  # 1.1 · 64 / 36 · (1 + 4 √(1 / 36 + 1 / 64))
        "pixel_mean": pytest.approx([51 / 255 * 0.98 - 2 / 255, 51 / 255 * 1.02 + 2 / 255], abs=1e-4),  # ± 4 · 5 / 10
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


def test_the_data_themselves_and_others_like_them_pass(failures_of, splits: Splits, suite: Suite) -> None:
    assert failures_of(splits, suite) == []
    others = {"train": split_of_bars(400, seed=11), "test": split_of_bars(200, seed=12)}
    assert failures_of(others, suite) == []
    images = splits["train"].images.copy()
    images[1:3] = images[0]  # trusted though they repeat
    repeated = {**splits, "train": Split(images, splits["train"].labels)}
    assert failures_of(repeated, proposed(repeated)) == []


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda images: 255 - images, "ink_fraction"),
        (lambda images: images // 17 * 17, "test/grey_levels"),
        (lambda images: np.where(images > 127, 255, 0), "test/few_grey_levels"),
        (lambda images: images[:, :, ::-1], "contradiction"),
    ],
)
def test_damaged_data_do_not(failures_of, splits: Splits, suite: Suite, change, column) -> None:
    test = Split(change(splits["test"].images).astype(np.uint8), splits["test"].labels)
    assert column in {failure.column for failure in failures_of({**splits, "test": test}, suite)}
