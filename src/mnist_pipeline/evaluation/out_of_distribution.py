"""What a classifier says of images that are none of its classes, and whether its logits tell them from the test images.

Each kind is judged by its familiarity, log Σ exp(logit): the energy score of Liu et al. (2020), "Energy-based
out-of-distribution detection", NeurIPS, with the sign turned, so that more means more familiar.
"""

from collections.abc import Hashable, Mapping
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from mnist_pipeline.evaluation.fashion_mnist import load_garments
from mnist_pipeline.evaluation.metrics import DECIMALS

SEED = 2020
NOISE_IMAGES = 2000
CONFIDENT = 0.9
"""From this confidence on, an answer counts as confident."""
KEPT = 0.95
"""Share of the test images that a detector is to keep."""


def out_of_distribution_images(images: NDArray[np.uint8], dataset: str) -> dict[str, NDArray[np.uint8]]:
    """Images `[M, height, width]` of each kind, the same each time; garments are left out where they are known.

    - `fashion_mnist`: photographs of garments, which fill the image as no digit does.
    - `uniform_noise`: each pixel is drawn evenly from 0 to 255.
    - `shuffled_pixels`: the test images, `[N, height, width]`, each with its pixels in an order of its own.
    - `blank`: one image of each grey level.
    """
    random = np.random.default_rng(SEED)
    count, height, width = images.shape
    kinds = {
        "uniform_noise": random.integers(0, 256, (NOISE_IMAGES, height, width), dtype=np.uint8),
        "shuffled_pixels": random.permuted(images.reshape(count, -1), axis=1).reshape(images.shape),
        "blank": np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, height, width)).copy(),
    }
    return kinds if dataset == "fashion-mnist" else {"fashion_mnist": load_garments(), **kinds}


def detection_table(test: Tensor, others: Mapping[str, Tensor]) -> pd.DataFrame:
    """A row for each kind, of logits `[M, classes]`, beside the logits `[N, classes]` of the test images.

    - `images`, their `mean_confidence`, and the share of them that is answered with confidence, `confident`.
    - `auroc`: the probability that a test image is more familiar than one of the kind; 1 at best, 0.5 by guessing.
    - `fpr_at_95_tpr`: the share of the kind that is let through where 95 % of the test images are.
    """
    known = familiarity(test)
    threshold = detection_threshold(known)
    rows = []
    for kind, logits in others.items():
        confidence, found = logits.double().softmax(1).amax(1).numpy(), familiarity(logits)
        confident, let_through = (confidence >= CONFIDENT).mean(), (found >= threshold).mean()
        rows.append((kind, len(logits), confidence.mean(), confident, _auroc(known, found), let_through))
    columns = ["kind", "images", "mean_confidence", "confident", "auroc", "fpr_at_95_tpr"]
    return pd.DataFrame(rows, columns=columns)


def familiarity(logits: Tensor) -> NDArray[np.float64]:
    """Of each row of logits `[N, classes]`, `[N]`."""
    result: NDArray[np.float64] = logits.double().logsumexp(1).numpy()
    return result


def detection_threshold(known: NDArray[np.float64]) -> float:
    """The highest that at least `KEPT` of the familiarities `[N]` of the test images reach."""
    return float(np.sort(known)[len(known) - ceil(KEPT * len(known))])


def detection_summary(detection: pd.DataFrame) -> dict[str, dict[Hashable, Any]]:
    """The numbers of each row under the name of its kind."""
    rows = detection.round(DECIMALS).set_index("kind")
    return {str(kind): row for kind, row in rows.to_dict("index").items()}


def _auroc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Area under the receiver operating characteristic, from the ranks, where equal scores count half.

    Hanley and McNeil (1982), "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 143(1), 29-36. By scipy: torchmetrics, with which a test compares, takes long to import.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.mean() - (len(positive) + 1) / 2) / len(negative))
