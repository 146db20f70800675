"""Small networks with random weights for tests, and what describes them."""

from pathlib import Path
from typing import Any

import onnx
import torch

from mnist_pipeline.data.catalog import STROKES
from mnist_pipeline.export.onnx_file import ServedClassifier, to_onnx
from mnist_pipeline.models.build import build
from mnist_pipeline.models.classifier import Classifier
from mnist_pipeline.models.weights import Description, save_weights

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "lenet": {"activation": "relu", "pooling": "max"},
    "mlp": {"activation": "relu", "hidden": [32, 16], "dropout": 0.0},
    "resnet": {"width": 8, "blocks": 1},
}


def describe(
    model: str, classes: int = 10, shape: tuple[int, int, int] = (28, 28, 1), **architecture: Any
) -> Description:
    return Description(
        model=model,
        architecture=ARCHITECTURES[model] | architecture,
        image_shape=list(shape),
        label_names=[str(label) for label in range(classes)],
        mean=0.13,
        standard_deviation=0.31,
        data_md5="0123456789abcdef0123456789abcdef.dir",
    )


def random_classifier(description: Description, seed: int = 0) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(
            description.model, description.architecture, description.image_shape, len(description.label_names)
        )
    return Classifier(network, description.mean, description.standard_deviation)


def save_random_weights(path: Path, description: Description, seed: int = 0) -> None:
    save_weights(path, random_classifier(description, seed).network, description)


def exported(
    model: str, energy_bound: float = 2.5, shape: tuple[int, int, int] = (28, 28, 1), **architecture: Any
) -> tuple[ServedClassifier, onnx.ModelProto]:
    description = describe(model, shape=shape, **architecture)
    served = ServedClassifier(random_classifier(description))
    return served, to_onnx(served, description, STROKES, energy_bound)
