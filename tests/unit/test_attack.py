"""Each pixel changes by no more than the strength, in the direction that a known gradient has."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conftest import bars
from mnist_pipeline.evaluation.attack import (
    ROUNDS,
    SHOWN,
    STRENGTHS,
    Attack,
    attack,
    attack_directions,
    attack_summary,
    attacked,
)
from mnist_pipeline.evaluation.predictions import predict_logits

CPU = torch.device("cpu")
NAMES = ["upright", "other"]


class Brightness(nn.Module):
    """Two classes; the second is the likelier, the more its pixels weigh that are bright."""

    def __init__(self, weights: Tensor, bias: float = 0.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.bias = bias

    def forward(self, images: Tensor) -> Tensor:
        second = (images.float() * self.weights).sum((1, 2)) + self.bias
        return torch.stack([torch.zeros_like(second), second], dim=1)


@pytest.fixture
def weights() -> Tensor:
    weights = torch.randn(28, 28, generator=torch.Generator().manual_seed(3))
    weights[0] = 0
    return weights


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return bars(40, seed=5)[0]


def labelled(images: NDArray[np.uint8], classifier: nn.Module) -> NDArray[np.uint8]:
    return predict_logits(classifier, images, CPU).argmax(1).numpy().astype(np.uint8)


@pytest.fixture
def found(weights: Tensor, images: NDArray[np.uint8]) -> Attack:
    classifier = Brightness(weights)
    return attack(classifier, images, labelled(images, classifier), NAMES, CPU, lambda _: None)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_the_direction_is_away_from_the_label_however_sure_the_classifier_is(
    weights: Tensor, images: NDArray[np.uint8], factor: float
) -> None:
    """At the last factor the gradient of the cross-entropy is 0 to rounding."""
    classifier = Brightness(factor * weights)
    labels = labelled(images, classifier)
    assert set(labels) == {0, 1}
    towards_second = weights.sign().numpy().astype(np.int8)
    expected = np.where(labels[:, None, None] == 0, towards_second, -towards_second)
    assert np.array_equal(attack_directions(classifier, images, labels, CPU), expected)
    assert classifier.weights.grad is None


def test_a_wrong_prediction_is_led_on(weights: Tensor, images: NDArray[np.uint8]) -> None:
    classifier = Brightness(weights)
    wrong = 1 - labelled(images, classifier)
    right = attack_directions(classifier, images, labelled(images, classifier), CPU)
    assert np.array_equal(attack_directions(classifier, images, wrong, CPU), -right)


def test_pixels_stay_grey_levels_and_change_by_the_strength_where_they_can() -> None:
    images = np.array([[[0, 0, 0, 3, 100, 100, 252, 255]]], np.uint8)
    directions = np.array([[[-1, 1, 0, -1, 1, -1, 1, -1]]], np.int8)
    assert attacked(images, directions, 8).tolist() == [[[0, 8, 0, 0, 108, 92, 255, 247]]]
    assert attacked(images, directions, 200).tolist() == [[[0, 200, 0, 0, 255, 0, 255, 55]]]
    assert np.array_equal(attacked(images, directions, 0), images)


def test_the_accuracy_falls_with_the_strength(found: Attack) -> None:
    assert found.table["strength"].tolist() == list(STRENGTHS)
    assert found.table["accuracy"].iloc[0] == 1
    assert found.table["accuracy"].is_monotonic_decreasing
    assert found.table["accuracy"].iloc[-1] < 0.1


def test_the_examples_are_the_first_images_and_their_predictions(
    found: Attack, weights: Tensor, images: NDArray[np.uint8]
) -> None:
    assert len(found.examples) == len(found.images) == len(STRENGTHS) * SHOWN
    assert np.array_equal(found.images[:SHOWN], images[:SHOWN])
    classifier = Brightness(weights)
    assert found.examples["predicted"].tolist() == [NAMES[label] for label in labelled(found.images, classifier)]
    assert found.examples["right"].tolist() == [
        NAMES[labelled(images, classifier)[row.image]] == row.predicted for row in found.examples.itertuples()
    ]
    few = attack(classifier, images[:1], np.zeros(1, np.uint8), NAMES, CPU, lambda _: None)
    assert len(few.examples) == len(few.images) == len(STRENGTHS)


def test_it_is_the_same_each_time_and_tells_how_far_it_is(
    found: Attack, weights: Tensor, images: NDArray[np.uint8]
) -> None:
    classifier = Brightness(weights)
    heard: list[int] = []
    listen: Callable[[int], None] = heard.append
    again = attack(classifier, images, labelled(images, classifier), NAMES, CPU, listen)
    pd.testing.assert_frame_equal(again.table, found.table)
    assert np.array_equal(again.images, found.images)
    assert sum(heard) == ROUNDS * len(images)


def test_the_summary_names_the_strengths_that_change_something() -> None:
    table = pd.DataFrame({"strength": [0, 4, 16], "accuracy": [0.99, 0.9, 1 / 3]})
    assert attack_summary(table) == {"4": 0.9, "16": 0.333333}
