"""What a simple classifier, which has not learnt from an image, says against its label.

That is the idea of confident learning: Northcutt, Jiang and Chuang (2021), "Confident learning: estimating uncertainty
in dataset labels", JAIR 70. The classifier is linear in features that need no training, and so has a closed form: how
well parts of an image match random patches of the training images, after Coates and Ng (2011), "The importance of
encoding versus training with sparse coding and vector quantization", ICML.
"""

from collections.abc import Callable, Iterator, Mapping
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mnist_pipeline.data.dataset import Split, SplitName

PATCHES = 48
DRAWN = 4000
"""Random patches of which the first with enough contrast are taken."""
LEAST_CONTRAST = 0.2
"""Standard deviation of a patch's brightness, 0 to 1."""
PATCH_SIDE, STRIDE = 9, 2
PARTS = 4
"""Matches are pooled to so many parts along each side, whatever the size of the image."""
LEAST_MATCH = 0.5
"""Subtracted from each match, of which less than nothing counts as nothing."""
SAMPLE = 60_000
"""Training images to learn from at most, so that what is kept in memory does not grow with the data."""
FOLDS = 5
RIDGE = 1e-3
"""Of the mean square of a feature: with it, agreement on MNIST falls least where there are few images."""
CHUNK_PIXELS = 784_000
"""Pixels of the images whose matches are in memory at once."""
CONTRADICTED = 1.2
"""From where on an image counts as contradicted; 2 is the difference between two labels in what is learnt."""
UNKNOWN = 2.0
"""What is said of images that cannot be compared with the training images, as they are of another size."""

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def contradictions(splits: Mapping[SplitName, Split]) -> dict[SplitName, NDArray[np.float64]]:
    """For each image `[N]` of both splits, how much more some other label fits than its own; below 0, none does.

    What judges a training image has learnt from others, what judges a test image from the training images.
    """
    train, test = splits["train"], splits["test"]
    encode = _encoder(train.images)
    classes = int(max(1, train.labels.max(), test.labels.max())) + 1
    sample = np.random.default_rng(0).permutation(len(train))[:SAMPLE]
    folds = [sample[fold::FOLDS] for fold in range(FOLDS)]
    encoded = [encode(train.images[fold]) for fold in folds]
    sums = [_sums(features, train.labels[fold], classes) for features, fold in zip(encoded, folds, strict=True)]
    square, product = (np.sum(parts, axis=0) for parts in zip(*sums, strict=True))
    found = np.empty(len(train))
    for features, fold, (own_square, own_product) in zip(encoded, folds, sums, strict=True):
        weights = _solve(square - own_square, product - own_product)
        found[fold] = _against(features @ weights, train.labels[fold])
    weights = _solve(square, product)
    rest = np.setdiff1d(np.arange(len(train)), sample, assume_unique=True)
    found[rest] = _judged(encode, weights, train, rest)
    alike = train.images.shape[1:] == test.images.shape[1:]
    every = np.arange(len(test))
    return {"train": found, "test": _judged(encode, weights, test, every) if alike else np.full(len(test), UNKNOWN)}


def _judged(
    encode: Encode, weights: NDArray[np.float64], split: Split, places: NDArray[np.int64]
) -> NDArray[np.float64]:
    parts = (split.take(places[part]) for part in _parts(len(places), split.images[0].size))
    return np.concatenate([_against(encode(part.images) @ weights, part.labels) for part in parts])


def _parts(count: int, pixels: int) -> Iterator[slice]:
    """Of images with so many pixels each; at least one part, which may be empty."""
    size = max(1, CHUNK_PIXELS // pixels)
    return (slice(start, start + size) for start in range(0, max(count, 1), size))


def _encoder(images: NDArray[np.uint8]) -> Encode:
    """What turns images into features `[N, features]`: matches with random patches, pooled by parts of the image."""
    patches = _random_patches(images)  # [PATCHES, 1, side, side]

    def encode(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        pixels = images.shape[1] * images.shape[2]
        parts = (torch.tensor(images[part]).unsqueeze(1).float() / 255 for part in _parts(len(images), pixels))
        features = torch.cat([_pooled_matches(part, patches) for part in parts]).numpy()
        return np.hstack([features, np.ones((len(features), 1))])

    return encode


def _pooled_matches(images: Tensor, patches: Tensor) -> Tensor:
    matches = functional.conv2d(images, patches, padding=patches.shape[-1] // 2, stride=STRIDE)
    part = [ceil(side / PARTS) for side in matches.shape[2:]]
    return functional.avg_pool2d((matches - LEAST_MATCH).relu_(), part, ceil_mode=True).flatten(1)


def _random_patches(images: NDArray[np.uint8]) -> Tensor:
    count, height, width = images.shape
    side = min(PATCH_SIDE, height, width)
    random = np.random.default_rng(0)
    chosen = random.integers(count, size=DRAWN)
    top, left = random.integers(height - side + 1, size=DRAWN), random.integers(width - side + 1, size=DRAWN)
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
    drawn = torch.tensor(windows[chosen, top, left]).flatten(1).float() / 255
    contrast = drawn.std(1, correction=0)
    order = torch.argsort((contrast < LEAST_CONTRAST).int(), stable=True)[:PATCHES]
    patches = functional.normalize(drawn[order] - drawn[order].mean(1, keepdim=True))
    return patches.reshape(-1, 1, side, side)


def _sums(
    features: NDArray[np.float64], labels: NDArray[np.uint8], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All that a least-squares fit needs to know of images: labels are coded 1, other labels -1."""
    coded = 2.0 * (labels[:, None] == np.arange(classes)) - 1
    return features.T @ features, features.T @ coded


def _solve(square: NDArray[np.float64], product: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.linalg import solve

    strength = RIDGE * max(np.trace(square) / len(square), 1e-9)
    weights: NDArray[np.float64] = solve(square + strength * np.eye(len(square)), product, assume_a="pos")
    return weights


def _against(scores: NDArray[np.float64], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The best score `[N, classes]` of another label, less that of the own."""
    rows = np.arange(len(labels))
    own = scores[rows, labels]
    others = scores.copy()
    others[rows, labels] = -np.inf
    against: NDArray[np.float64] = others.max(1) - own
    return against
