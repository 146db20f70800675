"""Each pixel changes by no more than the strength, in the direction that a known gradient has."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from conftest import bars
from mnist_pipeline.evaluation.analysis import predict_logits
from mnist_pipeline.evaluation.attack import PASSES, STRENGTHS, analyse, attack_directions, attacked, draw_attack

CPU = torch.device("cpu")
IMAGES = bars(40, seed=5)[0][..., None]
WEIGHTS = torch.randn(28, 28, 1, generator=torch.Generator().manual_seed(3))
WEIGHTS[0] = 0


class Brightness(nn.Module):
    """Two classes; the second is the likelier, the more its pixels weigh that are bright."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        second = (images.float() * self.weights).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(second), second], dim=1)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_direction_is_away_from_the_label_however_sure_the_classifier_is(factor: float, channels: int) -> None:
    """At the last factor the gradient of the cross-entropy is 0 to rounding. Opacity stays as it is."""
    classifier, images = Brightness(factor * WEIGHTS.repeat(1, 1, channels)), IMAGES.repeat(channels, axis=3)
    labels = predict_logits(classifier, images, CPU).argmax(1).numpy()
    assert set(labels) == {0, 1}
    towards_second = classifier.weights.detach().sign().numpy().astype(np.int8)
    towards_second[..., 3:] = 0
    expected = np.where(labels[:, None, None, None] == 0, towards_second, -towards_second)
    assert np.array_equal(attack_directions(classifier, images, labels, CPU), expected)
    assert classifier.weights.grad is None


def test_pixels_stay_grey_levels_and_change_by_the_strength_where_they_can() -> None:
    images = np.array([[[0, 0, 0, 3, 100, 100, 252, 255]]], np.uint8)
    directions = np.array([[[-1, 1, 0, -1, 1, -1, 1, -1]]], np.int8)
    assert attacked(images, directions, 8).tolist() == [[[0, 8, 0, 0, 108, 92, 255, 247]]]
    assert attacked(images, directions, 200).tolist() == [[[0, 200, 0, 0, 255, 0, 255, 55]]]


def test_the_accuracy_falls_with_the_strength_in_however_many_batches(given, monkeypatch) -> None:
    monkeypatch.setattr("mnist_pipeline.data.dataset.BATCH", 16 * 784)
    classifier, seen = Brightness(WEIGHTS), []
    labels = predict_logits(classifier, IMAGES, CPU).argmax(1).numpy()
    changes = {"images": IMAGES, "labels": labels, "label_names": ["upright", "other"]}
    found = analyse(replace(given, classifier=classifier, on_progress=seen.append, **changes))
    table = found.tables["attack"]
    assert table["strength"].tolist() == list(STRENGTHS)
    assert table["accuracy"].iloc[0] == 1
    assert table["accuracy"].is_monotonic_decreasing
    assert table["accuracy"].iloc[-1] < 0.1
    assert found.scalars == {"attack_accuracy_16": table["accuracy"][STRENGTHS.index(16)]}
    assert sum(seen) == PASSES * len(IMAGES)


def test_images_and_their_predictions_reach_the_figure() -> None:
    table = pd.DataFrame({"strength": [0, 8], "accuracy": [0.9, 0.25]})
    first, second = IMAGES[:2]
    examples = [(first, "Coat", False), (first, "Bag", False), (first, "Coat", True), (second, "Coat", False)]
    assert len({draw_attack(table, [[shown], [shown]]) for shown in examples}) == 4
