"""How much the label of an image is contradicted by a simple classifier that was not trained on the image.

That is the idea of confident learning: Northcutt, Jiang and Chuang (2021), "Confident learning: estimating uncertainty
in dataset labels", JAIR 70. The classifier is a ridge regression on features that need no training: how well parts of
an image match random patches of the training images, after Coates and Ng (2011), "The importance of encoding versus
training with sparse coding and vector quantization", ICML.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mnist_pipeline.data.dataset import Split, SplitName
from mnist_pipeline.validation.pixels import block, chunks, reduced

PATCHES, PATCH_SIDE, STRIDE = 48, 9, 2
DRAWN = 4000  # random patches, of which the first with enough contrast are taken
LEAST_CONTRAST = 0.2  # standard deviation of a patch's brightness, 0 to 1
PARTS = 4  # along each side that matches are pooled to, whatever the size of the image
LEAST_MATCH = 0.5  # subtracted from each match, of which less than nothing counts as nothing
SAMPLE = 60_000  # training images to learn from at most, so that memory does not grow with the data
FOLDS = 5
RIDGE = 1e-3  # of the mean square of a feature: with it, agreement on MNIST falls least where there are few images
CHUNK_PIXELS = 78_400  # whose matches are in memory at once; with ten times as many, encoding takes 3.5 times as long
CHUNK = 10_000
SIDE = 64  # pixels that the classifier looks at, at most
MOST_SCORES = 60_000_000  # in memory at once: where there are more than 1,000 classes, fewer images are in the sample
CONTRADICTED = 1.2  # from where on an image counts as contradicted; 2 is between the codes of two labels
UNKNOWN = 2.0  # the value where there are fewer training images than folds


def contradictions(splits: Mapping[SplitName, Split]) -> dict[SplitName, NDArray[np.float64]]:
    """For each image `[N]` of both splits, how much better some other label fits than its own; below 0, none does.

    The scores of a training image are of a classifier that was trained on others (cross-validation), those of a test
    image of one that was trained on the training images.
    """
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold, cross_val_predict

    train, test = splits["train"], splits["test"]
    found = {name: np.full(len(split), UNKNOWN) for name, split in splits.items()}
    if len(train) < FOLDS:
        return found
    patches = _random_patches(train.images)
    order = np.random.default_rng(0).permutation(len(train))
    classes = max(1, int(train.labels.max()), int(test.labels.max())) + 1
    most = max(FOLDS, MOST_SCORES // classes)
    sample, rest = np.split(order, [min(SAMPLE, most)])
    features = _encode(train.images, sample, patches)  # [N, features]
    # In 32 bits, the sums take half the time; on MNIST, the scores differ by at most 0.0005 from those in 64
    coded = np.where(train.labels[sample, None] == np.arange(classes), 1, -1).astype(np.float32)  # [N, classes]
    strength = max(RIDGE * len(sample) * float(np.square(features).mean()), 1e-6)
    classifier = Ridge(strength, solver="cholesky")
    scores = cross_val_predict(classifier, features, coded, cv=KFold(FOLDS))
    found["train"][sample] = _against(scores, train.labels[sample])
    classifier.fit(features, coded)
    for split, of_split, unseen in ((train, found["train"], rest), (test, found["test"], np.arange(len(test)))):
        for part in chunks(len(unseen), 1, min(CHUNK, most)):
            scores = classifier.predict(_encode(split.images, unseen[part], patches))
            of_split[unseen[part]] = _against(scores, split.labels[unseen[part]])
    return found


def _random_patches(images: NDArray[np.uint8]) -> Tensor:
    """Patches `[PATCHES, channels, side, side]` of mean 0 and length 1."""
    random = np.random.default_rng(0)
    chosen = random.integers(len(images), size=DRAWN)
    _, height, width, channels = _seen(images[:1]).shape
    side = min(PATCH_SIDE, height, width)
    top, left = random.integers(height - side + 1, size=DRAWN), random.integers(width - side + 1, size=DRAWN)
    tall, wide = block(images.shape, SIDE)
    windows = [
        _seen(images[image : image + 1, row * tall : (row + side) * tall, column * wide : (column + side) * wide], side)
        for image, row, column in zip(chosen, top, left, strict=True)
    ]
    drawn = torch.from_numpy(np.moveaxis(np.concatenate(windows), 3, 1).copy()).flatten(1).float() / 255
    order = torch.argsort((drawn.std(1, correction=0) < LEAST_CONTRAST).int(), stable=True)[:PATCHES]
    patches = functional.normalize(drawn[order] - drawn[order].mean(1, keepdim=True))
    return patches.reshape(-1, channels, side, side)


def _encode(images: NDArray[np.uint8], places: NDArray[np.int64], patches: Tensor) -> NDArray[np.float32]:
    """Features `[N, features]` of the images in these places: how well each part of an image matches each patch."""
    pooled = []
    for chosen in chunks(len(places), _seen(images[:1]).size, CHUNK_PIXELS):
        pixels = torch.from_numpy(np.moveaxis(_seen(images[places[chosen]]), 3, 1).copy()).float() / 255
        matches = functional.conv2d(pixels, patches, padding=patches.shape[-1] // 2, stride=STRIDE)
        cell = [ceil(side / PARTS) for side in matches.shape[2:]]
        pooled.append(functional.avg_pool2d((matches - LEAST_MATCH).relu_(), cell, ceil_mode=True).flatten(1))
    return np.asarray(torch.cat(pooled))


def _seen(images: NDArray[np.uint8], side: int = SIDE) -> NDArray[Any]:
    """Images `[N, height, width, 1 or 3]` as the classifier looks at them: small, and transparent ones on grey."""
    small = reduced(images, side)
    if small.shape[3] < 4:
        return small
    opacity = small[..., 3:] / np.float32(255)
    return np.asarray(small[..., :3] * opacity + 128 * (1 - opacity))


def _against(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The best score `[N, classes]` of another label, less that of the own."""
    own = labels[:, None] == np.arange(scores.shape[1])
    return np.asarray(np.where(own, -np.inf, scores).max(1) - scores[own])
