"""Whether two networks compute the same: onnxruntime and PyTorch, or INT8 and float32."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parity:
    """How far the two are apart; the differences are absolute, over all logits of all images."""

    images: int
    differing_predictions: int
    max_logit_difference: float
    mean_logit_difference: float


def compare(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Parity:
    """Compares logits `[N, classes]` of the same images.

    A logit that is not a number on either side makes the differences not a number.
    """
    difference = np.abs(expected.astype(np.float64) - actual)
    return Parity(
        images=len(difference),
        differing_predictions=int((expected.argmax(1) != actual.argmax(1)).sum()),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
    )
