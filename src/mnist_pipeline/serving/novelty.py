"""Whether an input is like what a network was trained on.

The measure is that of Liu et al., Energy-based Out-of-distribution Detection (2020). They call -log Σ exp(logit)
energy; here it is the other way round, so that more means more familiar.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import nn

BATCH_SIZE = 1000
UNFAMILIAR = 0.005
"""The share of the training images that count as unfamiliar."""


def familiarity(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each row of logits `[N, classes]`, `[N]`."""
    result: NDArray[np.float64] = logsumexp(logits.astype(np.float64), axis=1)
    return result


@torch.inference_mode()
def least_familiarity(served: nn.Module, images: NDArray[np.uint8]) -> float:
    """What all but `UNFAMILIAR` of the training images `[N, height, width]` reach."""
    batches = np.split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    logits = np.concatenate([served(torch.tensor(batch))[0].numpy() for batch in batches])
    return round(float(np.quantile(familiarity(logits), UNFAMILIAR)), 3)
