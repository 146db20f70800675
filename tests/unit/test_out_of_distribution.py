"""What is none of the classes is made the same each time, and told from what is as others tell it."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from conftest import bars
from mnist_pipeline.evaluation import fashion_mnist
from mnist_pipeline.evaluation.fashion_mnist import load_garments
from mnist_pipeline.evaluation.out_of_distribution import (
    NOISE_IMAGES,
    detection_summary,
    detection_table,
    detection_threshold,
    familiarity,
    out_of_distribution_images,
)

FOLDER = Path(fashion_mnist.__file__).parent
GARMENTS = "0d6e7ca5d7751e0eb1de81a6d6828786566f9427d0f9655d110eb6ba7161cb68"
"""SHA-256 of the pixels, read off the data set's own files."""


def logits_of(*familiarities: float) -> Tensor:
    """Two classes, equally likely."""
    return (torch.tensor(familiarities, dtype=torch.float64) - np.log(2))[:, None].repeat(1, 2)


def test_the_garments_are_those_of_the_data_set() -> None:
    garments = load_garments()
    assert garments.shape == (500, 28, 28)
    assert hashlib.sha256(garments.tobytes()).hexdigest() == GARMENTS
    assert (FOLDER / "fashion_mnist.png").stat().st_size < 300_000


def test_the_garments_are_installed_with_their_licence() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    (pattern,) = settings["tool"]["setuptools"]["package-data"]["mnist_pipeline"]
    installed = {path.name for path in FOLDER.parent.glob(pattern)}
    assert {"fashion_mnist.png", "fashion_mnist_license.txt"} <= installed


def test_each_kind_is_what_its_name_says() -> None:
    images = bars(50, seed=6)[0]
    kinds = out_of_distribution_images(images, "mnist")
    assert list(kinds) == ["fashion_mnist", "uniform_noise", "shuffled_pixels", "blank"]
    assert all(made.dtype == np.uint8 and made.shape[1:] == (28, 28) for made in kinds.values())
    noise = kinds["uniform_noise"]
    assert len(noise) == NOISE_IMAGES
    counts = np.bincount(noise.ravel(), minlength=256)
    assert counts / noise.size * 256 == pytest.approx(np.ones(256), abs=0.1)
    shuffled = kinds["shuffled_pixels"].reshape(50, -1)
    assert np.array_equal(np.sort(shuffled), np.sort(images.reshape(50, -1)))
    order = [np.flatnonzero(pixels)[:20].tolist() for pixels in shuffled]
    assert len({tuple(places) for places in order}) == 50, "each has an order of its own"
    assert [np.unique(blank).tolist() for blank in kinds["blank"]] == [[level] for level in range(256)]


def test_they_are_the_same_each_time_and_no_garments_where_these_are_the_classes() -> None:
    images = bars(50, seed=6)[0]
    before, again = (out_of_distribution_images(images, name) for name in ("mnist", "fashion-mnist"))
    assert before.keys() - again.keys() == {"fashion_mnist"}
    assert all(np.array_equal(made, before[kind]) for kind, made in again.items())


def test_familiarity_is_the_logarithm_of_the_sum_of_exponentials() -> None:
    assert familiarity(torch.tensor([[1.0, 2, 3], [10, 20, 30]]).log()) == pytest.approx(np.log([6, 60]))
    assert familiarity(torch.full((1, 2), 1000.0)) == pytest.approx(1000 + np.log(2))


@pytest.mark.parametrize("count", [1, 19, 20, 21, 100, 1000])
def test_at_least_95_percent_of_the_test_images_are_kept_and_hardly_more(count: int) -> None:
    known = np.random.default_rng(0).normal(size=count)
    kept = (known >= detection_threshold(known)).mean()
    assert 0.95 <= kept < 0.95 + 1 / count


@pytest.mark.parametrize("levels", [3, 100_000])
def test_the_area_is_that_of_torchmetrics_with_ties_and_without(levels: int) -> None:
    random = np.random.default_rng(1)
    known, strange = random.integers(1, 1 + levels, 300) / levels, random.integers(0, levels, 200) / levels
    scores, targets = torch.tensor(np.concatenate([known, strange])), torch.tensor([1] * 300 + [0] * 200)
    table = detection_table(logits_of(*known), {"strange": logits_of(*strange)})
    expected = float(binary_auroc(scores, targets, thresholds=None))
    assert table["auroc"].tolist() == [pytest.approx(expected, abs=1e-6)]


def test_a_row_has_the_confidence_and_what_a_detector_lets_through() -> None:
    test = logits_of(*range(1, 101))
    sure = torch.tensor([[20.5, 0.0], [-0.5, 5.5], [0.0, -5.0], [1.0, 1.0]])
    table = detection_table(test, {"sure": sure, "far": logits_of(-7, -8)})
    assert table["kind"].tolist() == ["sure", "far"]
    assert table["images"].tolist() == [4, 2]
    assert table["mean_confidence"].tolist() == pytest.approx([float(sure.softmax(1).amax(1).mean()), 0.5])
    assert table["confident"].tolist() == [0.75, 0]
    assert table["fpr_at_95_tpr"].tolist() == [0.25, 0], "95 of 100 test images reach 6"
    assert table["auroc"].tolist() == pytest.approx([(80 + 95 + 100 + 99) / 400, 1])
    assert detection_summary(table)["far"] == {
        "images": 2,
        "mean_confidence": 0.5,
        "confident": 0.0,
        "auroc": 1.0,
        "fpr_at_95_tpr": 0.0,
    }
