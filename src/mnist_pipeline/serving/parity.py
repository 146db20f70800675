"""Whether onnxruntime computes from an exported network what PyTorch computes from the trained one."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from mnist_pipeline.serving.onnx_export import ServedClassifier

BATCH_SIZE = 1000


@dataclass(frozen=True)
class Parity:
    """How far the two are apart; the differences are absolute, over all logits of all images."""

    images: int
    differing_predictions: int
    max_logit_difference: float
    mean_logit_difference: float


def compare(served: ServedClassifier, session: InferenceSession, images: NDArray[np.uint8]) -> Parity:
    """Asks both for the logits of `images` `[N, height, width]`, in batches, on the CPU.

    A logit that is not a number on either side makes the differences not a number.
    """
    batches = np.split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
    expected = np.concatenate([_with_pytorch(served, batch) for batch in batches])
    actual = np.concatenate([session.run(["logits"], {"image": batch})[0] for batch in batches])
    difference = np.abs(expected.astype(np.float64) - actual)
    return Parity(
        images=len(difference),
        differing_predictions=int((expected.argmax(1) != actual.argmax(1)).sum()),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
    )


@torch.inference_mode()
def _with_pytorch(served: ServedClassifier, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    logits, _ = served(torch.tensor(images))
    array: NDArray[np.float32] = logits.numpy()
    return array
