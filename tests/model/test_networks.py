"""The networks are those of the tutorial, and what is wrong with their options or weights is said clearly."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.models import Description, build, load_classifier, save_weights
from mnist_pipeline.models.build import NETWORKS as NETWORKS_BY_NAME
from mnist_pipeline.models.pooling import halve

LENET = {"activation": "relu", "pooling": "max"}
MLP = {"activation": "relu", "hidden": [512, 512], "dropout": 0.0}
NETWORKS = [("lenet", LENET), ("mlp", MLP)]


class TutorialLeNet(nn.Module):
    """The layers of PyTorch's tutorial on neural networks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)


class TutorialMLP(nn.Module):
    """The layers of PyTorch's quickstart tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(
            nn.Linear(28 * 28, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.linear_relu_stack(self.flatten(image))
        return result


@pytest.mark.parametrize(("name", "architecture", "expected"), [(*NETWORKS[0], 61_706), (*NETWORKS[1], 669_706)])
def test_parameter_counts(name: str, architecture: dict[str, Any], expected: int) -> None:
    assert sum(parameter.numel() for parameter in build(name, architecture, 10).parameters()) == expected


@pytest.mark.parametrize(("name", "architecture"), NETWORKS)
@pytest.mark.parametrize("classes", [2, 10, 26])
def test_an_image_gives_one_logit_for_each_class(name: str, architecture: dict[str, Any], classes: int) -> None:
    assert build(name, architecture, classes)(torch.zeros(3, 1, 28, 28)).shape == (3, classes)


@pytest.mark.parametrize(
    ("name", "architecture", "tutorial"), [(*NETWORKS[0], TutorialLeNet), (*NETWORKS[1], TutorialMLP)]
)
def test_weights_fit_the_tutorial_s_classes_both_ways(
    name: str, architecture: dict[str, Any], tutorial: type[nn.Module]
) -> None:
    network, theirs = build(name, architecture, 10), tutorial()
    network.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(network.state_dict())


def test_the_mlp_computes_what_the_tutorial_s_computes() -> None:
    network, theirs = build("mlp", MLP, 10), TutorialMLP()
    network.load_state_dict(theirs.state_dict())
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(network(images), theirs(images))


@pytest.mark.parametrize(("pooling", "pool"), [("max", nn.MaxPool2d(2)), ("average", nn.AvgPool2d(2))])
@pytest.mark.parametrize(("activation", "function"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_lenet_activates_and_then_pools_whatever_order_it_computes_in(
    pooling: str, pool: nn.Module, activation: str, function
) -> None:
    network = build("lenet", {"activation": activation, "pooling": pooling}, 10)
    images = torch.rand(4, 1, 28, 28)
    x = pool(function(network.conv1(images)))
    x = pool(function(network.conv2(x))).flatten(1)
    torch.testing.assert_close(network(images), network.fc3(function(network.fc2(function(network.fc1(x))))))


def test_lenet_pools_maxima_before_an_activation_that_falls_somewhere() -> None:
    network, pool, function = build("lenet", LENET | {"activation": "silu"}, 10), nn.MaxPool2d(2), nn.SiLU()
    images = 10 * torch.rand(4, 1, 28, 28)
    x = function(pool(network.conv1(images)))
    x = function(pool(network.conv2(x))).flatten(1)
    torch.testing.assert_close(network(images), network.fc3(function(network.fc2(function(network.fc1(x))))))


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("lenet", {"activation": "gelu"}, "activation = 'gelu': expected one of relu, silu, tanh, sigmoid"),
        ("lenet", {"pooling": "min"}, "pooling = 'min': expected one of max, average"),
        ("lenet", {"depth": 3}, "depth is not known to lenet; expected activation, pooling"),
        ("mlp", {"activation": "gelu"}, "activation = 'gelu': expected one of relu, silu, tanh, sigmoid"),
        ("mlp", {"hidden": [512, 0]}, r"hidden = \[512, 0\]: expected widths of at least 1"),
        ("mlp", {"hidden": 512}, "hidden = 512: Input should be a valid list"),
        ("mlp", {"dropout": 1.0}, "dropout = 1.0: expected at least 0 and less than 1"),
    ],
)
def test_a_wrong_option_is_named(name: str, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build(name, dict(NETWORKS)[name] | changed, 10)


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ValueError, match="pooling is missing"):
        build("lenet", {"activation": "relu"}, 10)


class Annotated(nn.Module):
    """Keyword arguments as people annotate them."""

    def __init__(self, *, classes: int, norm: Literal["batch", "none"] = "none", width: "int | None") -> None:
        super().__init__()
        self.chosen = (classes, norm, width)


def test_annotations_of_any_kind_are_checked_and_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS_BY_NAME, "annotated", Annotated)
    assert build("annotated", {"width": 3}, 10).chosen == (10, "none", 3)
    assert build("annotated", {"width": None, "norm": "batch"}, 10).chosen == (10, "batch", None)
    with pytest.raises(ValueError, match="norm = 'layer': Input should be 'batch' or 'none'"):
        build("annotated", {"width": 3, "norm": "layer"}, 10)


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match="no network is called 'resnet'; expected one of lenet, mlp"):
        build("resnet", {}, 10)


def saved(path: Path) -> nn.Module:
    network = build("lenet", LENET, 10)
    save_weights(path, network, Description("lenet", LENET, list("0123456789"), 0.13, 0.31, "abc.dir"))
    return network


def test_saved_weights_load_and_classify_the_same(tmp_path: Path) -> None:
    network = saved(tmp_path / "weights.safetensors")
    classifier, description = load_classifier(tmp_path / "weights.safetensors")
    pixels = torch.randint(0, 256, (4, 28, 28), dtype=torch.uint8)
    expected = network((pixels.unsqueeze(1) / 255 - 0.13) / 0.31)
    torch.testing.assert_close(classifier(pixels), expected)
    assert (description.model, description.data_md5) == ("lenet", "abc.dir")
    assert not classifier.training


@pytest.mark.parametrize("damage", [lambda good: b"", lambda good: good[:5000], lambda good: b"<html>" + good])
def test_a_damaged_weights_file_is_named(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "weights.safetensors"
    saved(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PipelineError, match=r"weights\.safetensors: .*run the train stage"):
        load_classifier(path)


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"none\.safetensors: .*run the train stage first"):
        load_classifier(tmp_path / "none.safetensors")


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_halving_with_few_channels_is_maximum_pooling_and_so_is_its_gradient(precision: torch.dtype) -> None:
    values = torch.randperm(6 * 4 * 8).reshape(1, 6, 4, 8).to(precision)  # no two alike
    images = values.to(memory_format=torch.channels_last).requires_grad_()
    weights = torch.arange(6 * 2 * 4).reshape(1, 6, 2, 4)
    found = []
    for pool in (halve, nn.MaxPool2d(2)):
        images.grad = None
        halved = pool(images)
        (halved * weights).sum().backward()
        found.append((halved.float(), images.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
