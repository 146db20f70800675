"""The networks are those of the tutorial, and wrong options and weights are named."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, silu

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.models.build import build
from mnist_pipeline.models.weights import METADATA_KEY, load_classifier
from networks import ARCHITECTURES, describe, random_classifier, save_random_weights

NETWORKS: dict[str, dict[str, Any]] = {
    "lenet": {"activation": "relu", "pooling": "max"},
    "mlp": {"activation": "relu", "hidden": [512, 512], "dropout": 0.0},
}
MNIST = (28, 28, 1)
MLP = nn.Sequential(nn.Linear(28 * 28, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
LENET = {"conv1": nn.Conv2d(1, 6, 5), "conv2": nn.Conv2d(6, 16, 5)}
LENET |= {"fc1": nn.Linear(16 * 5 * 5, 120), "fc2": nn.Linear(120, 84), "fc3": nn.Linear(84, 10)}


@pytest.mark.parametrize(
    ("name", "layers", "count"), [("lenet", LENET, 61_706), ("mlp", {"linear_relu_stack": MLP}, 669_706)]
)
def test_weights_fit_the_classes_of_the_tutorial_both_ways(name: str, layers: dict[str, nn.Module], count: int) -> None:
    network, theirs = build(name, NETWORKS[name], MNIST, 10), nn.ModuleDict(layers)
    network.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(network.state_dict())
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert build(name, NETWORKS[name], MNIST, 26)(torch.zeros(3, 1, 28, 28)).shape == (3, 26)
    if name == "mlp":
        images = torch.rand(4, 1, 28, 28)
        assert torch.equal(network(images), MLP(images.flatten(1)))


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize(("activation", "function"), [("relu", torch.relu), ("tanh", torch.tanh), ("silu", silu)])
def test_lenet_activates_and_then_pools(pooling: str, activation: str, function: Any) -> None:
    """Of maxima it pools first, which is the same where the activation rises; SiLU falls at first."""
    network = build("lenet", {"activation": activation, "pooling": pooling}, MNIST, 10)
    x = images = 10 * torch.rand(4, 1, 28, 28)
    for layer in (network.conv1, network.conv2):
        x = function(max_pool2d(layer(x), 2)) if pooling == "max" else avg_pool2d(function(layer(x)), 2)
    x = function(network.fc2(function(network.fc1(x.flatten(1)))))
    torch.testing.assert_close(network(images), network.fc3(x))


@pytest.mark.parametrize("shape", [(12, 17, 1), (32, 32, 3), (224, 160, 4)], ids=str)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_takes_raw_images_of_any_shape(name: str, shape: tuple[int, int, int]) -> None:
    """The pixels are standardised, and those of one channel may come without it."""
    classifier = random_classifier(describe(name, 5, shape))
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    logits = classifier(images)
    torch.testing.assert_close(logits, classifier.network((images.permute(0, 3, 1, 2) / 255 - 0.13) / 0.31))
    assert logits.shape == (3, 5)
    if shape[2] == 1:
        assert torch.equal(classifier(images[..., 0]), logits)


def test_an_image_that_is_too_small_is_refused_with_what_is_expected() -> None:
    build("lenet", ARCHITECTURES["lenet"], (12, 12, 3), 2)
    with pytest.raises(ValueError, match=r"11×12 pixels.*12×12"):
        build("lenet", ARCHITECTURES["lenet"], (11, 12, 3), 2)
    for name in ("mlp", "resnet"):
        assert build(name, ARCHITECTURES[name], (8, 8, 1), 2)(torch.rand(1, 1, 8, 8)).shape == (1, 2)


def test_the_residual_network_is_small_and_adds_what_its_blocks_change() -> None:
    network = build("resnet", {"width": 16, "blocks": 3}, (32, 32, 3), 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == 272_282
    block = network.blocks[0]
    x = torch.rand(2, 16, 32, 32)
    nn.init.zeros_(block.norm2.weight)
    torch.testing.assert_close(block(x), x)


class Annotated(nn.Module):
    """Keyword arguments as people annotate them."""

    def __init__(
        self, *, shape: Sequence[int], classes: int, norm: Literal["batch", "none"] = "none", width: "int | None"
    ) -> None:
        super().__init__()
        self.chosen = (classes, norm, width)
        self.norm = nn.BatchNorm1d(2)


@pytest.fixture(autouse=True)
def _annotated(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mnist_pipeline.models.annotated")
    module.NETWORK = Annotated
    module.__spec__ = ModuleSpec(module.__name__, None)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(
    ("name", "architecture", "culprit"),
    [
        ("lenet", NETWORKS["lenet"] | {"pooling": "min"}, "pooling"),
        ("lenet", NETWORKS["lenet"] | {"depth": 3}, "depth"),
        ("mlp", NETWORKS["mlp"] | {"hidden": [100_000_000_000]}, "hidden"),
        ("mlp", NETWORKS["mlp"] | {"hidden": 512}, "hidden"),
        ("mlp", NETWORKS["mlp"] | {"dropout": 1.0}, "dropout"),
        ("annotated", {"width": 3, "norm": "layer"}, "norm"),
        ("annotated", {"norm": "batch"}, "width is missing"),
        *((name, {}, name) for name in ("nobody", "classifier", "lenet.x")),
    ],
)
def test_a_wrong_option_or_network_is_named(name: str, architecture: dict[str, Any], culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        build(name, architecture, MNIST, 10)


def test_annotations_of_any_kind_are_checked_and_defaults_hold() -> None:
    assert build("annotated", {"width": 3}, MNIST, 10).chosen == (10, "none", 3)
    assert build("annotated", {"width": None, "norm": "batch"}, MNIST, 10).chosen == (10, "batch", None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_random_weights(tmp_path / "weights.safetensors", describe("lenet"))
    return tmp_path / "weights.safetensors"


def test_saved_weights_load_and_classify_the_same(path: Path) -> None:
    classifier, description = load_classifier(path)
    pixels = torch.randint(0, 256, (4, 28, 28), dtype=torch.uint8)
    expected = random_classifier(describe("lenet")).network((pixels.unsqueeze(1) / 255 - 0.13) / 0.31)
    torch.testing.assert_close(classifier(pixels), expected)
    assert description == describe("lenet")
    assert not classifier.training


def test_a_tensor_may_be_of_the_type_that_the_network_has_it_in(path: Path) -> None:
    """Batch normalisation counts its batches in whole numbers."""
    save_random_weights(path, replace(describe("lenet"), model="annotated", architecture={"width": 3}))
    assert load_classifier(path)[0].network.norm.num_batches_tracked.dtype == torch.int64


def change(path: Path, tensors: dict[str, Tensor] | None = None, **changes: Any) -> None:
    """Rewrite a file with other tensors or values of its metadata."""
    with safe_open(path, "pt") as stored:
        metadata = json.loads(stored.metadata()[METADATA_KEY])
    path.write_bytes(save(load(path.read_bytes()) | (tensors or {}), {METADATA_KEY: json.dumps(metadata | changes)}))


@pytest.mark.parametrize(
    ("damage", "culprit"),
    [
        (lambda path: path.unlink(), ""),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), ""),
        (lambda path: path.write_bytes(b"<html>" + path.read_bytes()), ""),
        (lambda path: path.write_bytes(save(load(path.read_bytes()))), ""),  # no metadata
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
        (lambda path: change(path, {"fc3.bias": torch.zeros(10, dtype=torch.int64)}), "fc3.bias"),
        (lambda path: change(path, {"fc2.weight": torch.zeros(120, 84)}), "fc2.weight"),
        (lambda path: change(path, {"fc4.weight": torch.zeros(1)}), "fc4.weight"),
        (lambda path: change(path, {"fc3.bias": torch.full((10,), torch.inf)}), "fc3.bias"),
        (lambda path: change(path, {"fc3.bias": torch.full((10,), torch.nan)}), "fc3.bias"),
        (lambda path: change(path, standard_deviation=0.0), "standard_deviation"),
        (lambda path: change(path, mean="word"), "mean"),
        (lambda path: change(path, model="nobody"), "nobody"),
        (lambda path: change(path, architecture={"pooling": "min"}), "activation"),
        (lambda path: change(path, label_names=["0"]), "fc3"),
        (lambda path: change(path, label_names=None), "label_names"),
        (lambda path: change(path, other=1), "other"),
    ],
)
def test_a_damaged_file_of_weights_ends_in_one_line(path: Path, damage: Any, culprit: str) -> None:
    damage(path)
    with pytest.raises(PipelineError) as refused:
        load_classifier(path)
    assert str(refused.value).startswith(str(path))
    assert culprit in str(refused.value).removeprefix(str(path))
    assert "\n" not in str(refused.value)
