"""Whether an input is like what a network was trained on.

The measure is that of Liu et al., Energy-based Out-of-distribution Detection (2020). They call -log Σ exp(logit)
energy; here it is the other way round, so that more means more familiar.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

UNFAMILIAR = 0.005
"""The share of the training images that count as unfamiliar."""


def familiarity(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each row of logits `[N, classes]`, `[N]`."""
    result: NDArray[np.float64] = logsumexp(logits.astype(np.float64), axis=1)
    return result


def least_familiarity(logits: NDArray[np.float32]) -> float:
    """What all but `UNFAMILIAR` of the training images reach, told by their logits `[N, classes]`."""
    return round(float(np.quantile(familiarity(logits), UNFAMILIAR)), 3)
