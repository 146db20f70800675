"""The thresholds that trusted data propose let these data pass, and data like them, and not damaged ones."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from conftest import bars
from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.params import Suite
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
