"""Inputs are told apart by how large their logits are in all."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mnist_pipeline.serving.novelty import UNFAMILIAR, familiarity, least_familiarity


class FirstPixels(nn.Module):
    """Takes the first pixels of an image for its logits."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = images[:, 0, :3].float()
        return logits, logits.softmax(1)


def test_familiarity_is_the_logarithm_of_the_sum_of_exponentials() -> None:
    logits = np.log(np.array([[1, 2, 3], [10, 20, 30]], dtype=np.float32))
    assert familiarity(logits) == pytest.approx(np.log([6, 60]))
    assert familiarity(np.full((1, 2), 1000, dtype=np.float32)) == pytest.approx(1000 + np.log(2))


def test_a_small_share_of_the_training_images_counts_as_unfamiliar() -> None:
    images = np.random.default_rng(1).integers(0, 40, (3000, 4, 4), dtype=np.uint8)
    least = least_familiarity(FirstPixels(), images)
    known = familiarity(FirstPixels()(torch.tensor(images))[0].numpy()) >= least
    assert 1 - known.mean() == pytest.approx(UNFAMILIAR, abs=0.001)
