"""Images to validate, and the parameters and the suite to validate them by."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mnist_pipeline.data.dataset import SPLITS, Split, SplitName, load_split
from mnist_pipeline.params import Params, load_params
from mnist_pipeline.validation.expectations import Failure, check
from mnist_pipeline.validation.statistics import image_tables, whole_set_facts
from mnist_pipeline.validation.suite import Suite

ROOT = Path(__file__).parents[3]
DIGITS = list("0123456789")
WIDE: dict[str, Any] = {
    "classes": 10,
    "image_shape": [28, 28, 1],
    "train_min_per_class": 5,
    "test_min_per_class": 5,
    "max_class_ratio": 20.0,
    "pixel_mean": [0.01, 0.7],
    "pixel_std": [0.02, 0.6],
    "colour_balance": [[-0.1, 0.1]],
    "brightness": [0.5, 254.5],
    "contrast": [0, 128],
    "brightest": [64, 255],
    "min_sharpness": 8,
    "roughness": [0.0, 4.0],
    "grey_levels": [2, 256],
    "few_grey_levels": [1, 256],
    "ink_fraction": [0.0, 0.95],
    "box_side": [2, 28],
    "box_aspect": [0.2, 5.0],
    "max_centre_distance": 14.0,
    "max_outlier_share": 0.01,
    "max_blank_share": 0.001,
    "max_duplicate_share": 0.01,
    "max_contradicted_share": 0.05,
    "max_unreadable_share": 0.01,
    "min_agreement": 0.3,
    "min_centroid_accuracy": 0.3,
}
"""Expectations of every kind, which tiny_data meets."""


@pytest.fixture(scope="session")
def params() -> Params:
    """The repository's own parameters, for the user's own IDX files."""
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(update={"data": params.data.model_copy(update={"dataset": "idx"})})


@pytest.fixture(scope="session")
def suite() -> Suite:
    return Suite(**WIDE)


@pytest.fixture(scope="session")
def splits(tiny_data: Path) -> dict[SplitName, Split]:
    return {name: load_split(tiny_data, name) for name in SPLITS}


@pytest.fixture(scope="session")
def failures_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., list[Failure]]:
    """Check splits against a suite."""

    def failures_of(
        splits: Mapping[SplitName, Split], suite: Suite, names: Sequence[str] = tuple(DIGITS)
    ) -> list[Failure]:
        tables = image_tables(splits)
        facts = whole_set_facts(splits, tables)
        return check(tables, facts, suite, names, tmp_path_factory.mktemp("data_docs"))[1]

    return failures_of
