"""What an analysis gets: a small test set, and a classifier that has learnt nothing of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conftest import bars
from mnist_pipeline.evaluation.analysis import EvaluationInput, predict_logits
from networks import describe, random_classifier

SETTINGS = {"confidence": 0.95, "calibration_bins": 15, "mistakes": 9}


def evaluation_of(
    images: NDArray[np.uint8], labels: NDArray[np.int64], names: Sequence[str], **changes: Any
) -> EvaluationInput:
    description = describe("mlp", len(names), images.shape[1:])
    classifier, cpu = random_classifier(description).eval(), torch.device("cpu")
    logits = predict_logits(classifier, images, cpu)
    values = {
        **{"classifier": classifier, "images": images, "labels": labels, "logits": logits, "device": cpu},
        **{"validation_logits": logits[:40], "validation_labels": labels[:40], "dataset": "mnist", "of_strokes": True},
        **{"label_names": names, "settings": SimpleNamespace(**SETTINGS), "on_progress": lambda count: None},
    }
    return EvaluationInput(**values | changes)


@pytest.fixture(scope="session")
def given() -> EvaluationInput:
    images, labels = bars(120, seed=5)
    return evaluation_of(images[..., None], labels.astype(np.int64), [f"bar {label}" for label in range(10)])


@pytest.fixture
def pictures() -> Callable[..., EvaluationInput]:
    """40 test images of noise, of any shape; the last class has none."""

    def make(shape: tuple[int, int, int], names: Sequence[str], **changes: Any) -> EvaluationInput:
        random = np.random.default_rng(7)
        images, labels = random.integers(0, 256, (40, *shape), dtype=np.uint8), random.integers(0, len(names) - 1, 40)
        return evaluation_of(images, labels, names, **{"dataset": "folder", "of_strokes": False} | changes)

    return make


@pytest.fixture
def predicted(given: EvaluationInput) -> Callable[..., EvaluationInput]:
    """The same input with other predictions: logits `[N, classes]` of labels `[N]`."""

    def change(logits: Tensor, labels: Sequence[int], names: Sequence[str], **settings: Any) -> EvaluationInput:
        truth, images = np.array(labels, np.int64), np.resize(given.images, (len(labels), 28, 28, 1))
        given_here = replace(given, images=images, labels=truth, label_names=names, logits=logits)
        settings = SimpleNamespace(**SETTINGS | settings)
        return replace(given_here, validation_logits=logits, validation_labels=truth, settings=settings)

    return change


@pytest.fixture
def confident() -> Callable[..., Tensor]:
    """Logits that predict the given classes with the given confidences and share the rest evenly."""

    def logits(predicted: Sequence[int], confidence: float | Sequence[float], classes: int) -> Tensor:
        sure = torch.tensor(confidence, dtype=torch.float64).expand(len(predicted))
        probabilities = ((1 - sure) / (classes - 1))[:, None].repeat(1, classes)
        probabilities[range(len(predicted)), list(predicted)] = sure
        return probabilities.log()

    return logits
