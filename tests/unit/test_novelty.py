"""Inputs are told apart by how large their logits are in all."""

import numpy as np
import pytest

from mnist_pipeline.serving.novelty import UNFAMILIAR, familiarity, least_familiarity


def test_familiarity_is_the_logarithm_of_the_sum_of_exponentials() -> None:
    logits = np.log(np.array([[1, 2, 3], [10, 20, 30]], dtype=np.float32))
    assert familiarity(logits) == pytest.approx(np.log([6, 60]))
    assert familiarity(np.full((1, 2), 1000, dtype=np.float32)) == pytest.approx(1000 + np.log(2))


def test_a_small_share_of_the_training_images_counts_as_unfamiliar() -> None:
    logits = np.random.default_rng(1).normal(scale=10, size=(3000, 3)).astype(np.float32)
    known = familiarity(logits) >= least_familiarity(logits)
    assert 1 - known.mean() == pytest.approx(UNFAMILIAR, abs=0.001)
