"""How much accuracy a classifier keeps under each corruption."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from mnist_pipeline.evaluation.corruptions import CORRUPTIONS, corrupted
from mnist_pipeline.evaluation.metrics import DECIMALS
from mnist_pipeline.evaluation.predictions import predict_logits

SHOWN = 3
"""The strength of which each corruption shows an example."""
ROUNDS = sum(len(strengths) for _, strengths in CORRUPTIONS.values())
"""How often all images are asked."""


def robustness_table(
    classifier: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    device: torch.device,
    advance: Callable[[int], None],
) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """Accuracy on images `[N, height, width]` under each corruption at each strength; `advance` hears of each image.

    `value` is the strength in the corruption's own unit.
    The second result is the first image under each corruption, at the strength `SHOWN`: `[corruptions, height, width]`.
    """
    rows, examples = [], []
    for name, strength, changed in corrupted(images):
        predicted = predict_logits(classifier, changed, device).argmax(1).numpy()
        rows.append((name, strength, CORRUPTIONS[name][1][strength - 1], float((predicted == labels).mean())))
        if strength == SHOWN:
            examples.append(changed[0])
        advance(len(images))
    return pd.DataFrame(rows, columns=["corruption", "strength", "value", "accuracy"]), np.stack(examples)


def robustness_summary(robustness: pd.DataFrame) -> dict[str, float]:
    """Mean accuracy over all corruptions and strengths, the worst, and the mean over the strengths of each corruption.

    `robustness` has a row for each corruption and strength, with its accuracy.
    """
    means = robustness.groupby("corruption", sort=False)["accuracy"].mean()
    summary = {"mean": robustness["accuracy"].mean(), "worst": robustness["accuracy"].min(), **means}
    return {str(name): round(float(value), DECIMALS) for name, value in summary.items()}
