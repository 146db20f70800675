"""Images of none of the classes are made the same each time, and detected as scikit-learn would measure it."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import bars
from mnist_pipeline import evaluation
from mnist_pipeline.evaluation import out_of_distribution as ood
from mnist_pipeline.evaluation.out_of_distribution import analyse, detection_table, energy_bound, load_garments

GARMENTS = "0d6e7ca5d7751e0eb1de81a6d6828786566f9427d0f9655d110eb6ba7161cb68"
"""SHA-256 of the pixels, read off the data set's own files."""


def logits_of(*energies: float) -> Tensor:
    """Two classes, equally likely."""
    return (-torch.tensor(energies, dtype=torch.float64) - np.log(2))[:, None].repeat(1, 2)


def test_the_garments_are_those_of_the_data_set_and_installed_with_their_licence() -> None:
    garments = load_garments()
    assert garments.shape == (500, 28, 28)
    assert hashlib.sha256(garments.tobytes()).hexdigest() == GARMENTS
    settings = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["mnist_pipeline"]
    package = Path(evaluation.__file__).parents[1]
    installed = {path.name for pattern in patterns for path in package.glob(pattern)}
    assert {"fashion_mnist.png", "fashion_mnist_license.txt", "model_card.md.j2", "model_card.html.j2"} <= installed


def test_each_kind_is_what_its_name_promises() -> None:
    images = bars(50, seed=6)[0][..., None]
    kinds = ood.out_of_distribution_images(images, "mnist")
    assert ood.out_of_distribution_images(images, "fashion-mnist").keys() == kinds.keys() - {"fashion_mnist"}
    assert list(kinds) == ["fashion_mnist", "uniform_noise", "shuffled_pixels", "blank"]
    assert all(made.dtype == np.uint8 and made.shape[1:] == (28, 28, 1) for made in kinds.values())
    noise = kinds["uniform_noise"]
    assert len(noise) == ood.NOISE_IMAGES
    counts = np.bincount(noise.ravel(), minlength=256)
    assert counts / noise.size * 256 == pytest.approx(np.ones(256), abs=0.1)
    shuffled = kinds["shuffled_pixels"].reshape(50, -1)
    assert np.array_equal(np.sort(shuffled), np.sort(images.reshape(50, -1)))
    order = {tuple(np.flatnonzero(pixels)[:20]) for pixels in shuffled}
    assert len(order) == 50, "each has an order of its own"
    assert [np.unique(blank).tolist() for blank in kinds["blank"]] == [[level] for level in range(256)]


def test_each_kind_has_the_shape_of_colour_images_whose_pixels_stay_whole() -> None:
    random = np.random.default_rng(0)
    images = np.full((20, 16, 48, 4), 255, np.uint8)
    images[..., :3] = random.integers(0, 256, (20, 16, 48, 3))
    kinds = ood.out_of_distribution_images(images, "folder")
    assert all(made.shape[1:] == (16, 48, 4) for made in kinds.values())
    shuffled = kinds["shuffled_pixels"]
    for before, after in zip(images, shuffled, strict=True):
        assert sorted(map(tuple, before.reshape(-1, 4))) == sorted(map(tuple, after.reshape(-1, 4)))
    assert np.ptp(kinds["uniform_noise"], axis=3).any()
    for grey in ("fashion_mnist", "blank"):
        assert not np.ptp(kinds[grey][..., :3], axis=3).any(), grey
        assert (kinds[grey][..., 3] == 255).all(), grey
    assert len(kinds["fashion_mnist"]) == 500
    assert kinds["fashion_mnist"][..., 0].mean() == pytest.approx(load_garments().mean(), rel=0.05)


def test_of_large_images_no_more_are_made_than_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.stack([np.full((10, 10, 3), number, np.uint8) for number in range(50)])
    monkeypatch.setattr(ood, "MOST_PIXELS", 20 * 300)
    kinds = ood.out_of_distribution_images(images, "folder")
    assert len(kinds["uniform_noise"]) == 20
    assert kinds["shuffled_pixels"][:, 0, 0, 0].tolist() == list(range(0, 50, 3)), "from the whole set"


def test_at_least_95_percent_of_the_test_images_are_kept_and_hardly_more() -> None:
    for count in (1, 19, 20, 21, 1000):
        known = np.random.default_rng(0).normal(size=count)
        assert 0.95 <= (known <= energy_bound(known)).mean() < 0.95 + 1 / count


def test_a_kind_has_its_confidence_and_how_it_is_detected() -> None:
    sure = torch.tensor([[20.5, 0.0], [-0.5, 5.5], [0.0, -5.0], [1.0, 1.0]])
    test = logits_of(*range(-100, 0))
    table = detection_table({"test images": test, "sure": sure, "far": logits_of(7, 8)})
    assert table["kind"].tolist() == ["sure", "far"]
    assert table["images"].tolist() == [4, 2]
    assert table["mean_confidence"].tolist() == pytest.approx([float(sure.softmax(1).amax(1).mean()), 0.5])
    assert table["confident"].tolist() == [0.75, 0]
    assert table["fpr_at_95_tpr"].tolist() == [0.25, 0]
    assert table["auroc"].tolist() == pytest.approx([(80 + 95 + 100 + 99) / 400, 1])


def test_the_scalar_is_the_mean_over_the_kinds(given) -> None:
    found = analyse(given)
    table = found.tables["out_of_distribution"]
    assert table["kind"].tolist() == ["fashion_mnist", "uniform_noise", "shuffled_pixels", "blank"]
    assert found.scalars == {"ood_auroc": pytest.approx(table["auroc"].mean())}
    assert "| blank | 256 | " in found.card
