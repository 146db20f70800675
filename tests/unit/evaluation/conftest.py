"""What an analysis gets: a small test set of bars, and a classifier that has learnt nothing of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import bars
from mnist_pipeline.evaluation.analysis import EvaluationInput, predict_logits
from networks import describe, random_classifier

SETTINGS = {"confidence": 0.95, "calibration_bins": 15, "mistakes": 9}


@pytest.fixture(scope="session")
def given() -> EvaluationInput:
    images, labels = bars(120, seed=5)
    classifier, cpu = random_classifier(describe("mlp")).eval(), torch.device("cpu")
    logits = predict_logits(classifier, images, cpu)
    return EvaluationInput(
        **{"classifier": classifier, "images": images, "labels": labels, "logits": logits, "device": cpu},
        **{"validation_logits": logits[:40], "validation_labels": labels[:40], "dataset": "mnist"},
        label_names=[f"bar {label}" for label in range(10)],
        settings=SimpleNamespace(**SETTINGS),
        on_progress=lambda count: None,
    )


@pytest.fixture
def predicted(given: EvaluationInput) -> Callable[..., EvaluationInput]:
    """The same input with other predictions: logits `[N, classes]` of labels `[N]`."""

    def change(logits: Tensor, labels: Sequence[int], names: Sequence[str], **settings: Any) -> EvaluationInput:
        truth, images = np.array(labels, np.uint8), np.resize(given.images, (len(labels), 28, 28))
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
