"""A temperature brings confidence to what it should be, and leaves what is right as it is."""

import pytest
import torch

from mnist_pipeline.evaluation.calibration import fit_temperature


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_logits_that_are_too_large_or_too_small_by_a_factor_are_found_out(factor: float) -> None:
    """Labels are drawn with the probabilities that the logits tell, so that their own temperature is 1."""
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(20_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.03)
