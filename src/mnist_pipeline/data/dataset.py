"""The images, labels and class names that download wrote, and the validation set, on which training chooses.

Files that are missing, damaged or do not belong together, and too few images, are a `PipelineError`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.data.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_regular

SplitName = Literal["train", "test"]
SPLIT_FILES: dict[SplitName, tuple[str, str]] = {
    "train": (TRAIN_IMAGES, TRAIN_LABELS),
    "test": (TEST_IMAGES, TEST_LABELS),
}


@dataclass(frozen=True)
class Split:
    """Images `uint8 [N, height, width]` and their labels `uint8 [N]`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Split":
        return Split(self.images[indices], self.labels[indices])


def load_split(folder: Path, split: SplitName) -> Split:
    """Read one split from its two IDX files."""
    images_name, labels_name = SPLIT_FILES[split]
    images, labels = read_idx(folder / images_name), read_idx(folder / labels_name)
    if images.ndim != 3 or labels.shape != images.shape[:1] or images.size == 0:
        raise PipelineError(
            f"{folder}: {images_name} has shape {images.shape} and {labels_name} {labels.shape}; "
            "expected [N, height, width] and [N]: are the files exchanged?"
        )
    return Split(images, labels)


def load_label_names(path: Path, classes: int) -> list[str]:
    """The names of the labels 0 … classes-1; the numbers where there is no such file, as in older commits."""
    if not path.exists():
        return [str(label) for label in range(classes)]
    try:
        names = json.loads(read_regular(path, 10**6))
    except (OSError, ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) < classes or not all(isinstance(name, str) for name in names):
        raise PipelineError(f"{path}: expected the names of {classes} classes: run dvc checkout, or dvc repro")
    return names[:classes]


def pixel_statistics(images: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels, divided by 255; from sums of whole numbers, without a copy."""
    pixels = images.ravel()
    mean = int(pixels.sum(dtype=np.int64)) / pixels.size
    mean_square = int(np.einsum("i,i->", pixels, pixels, dtype=np.int64)) / pixels.size
    return mean / 255, (mean_square - mean**2) ** 0.5 / 255


def validation_split(labels: NDArray[np.uint8], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices of the images to train on and of the validation set, a share of at least one image.

    Each class gives its share, rounded by largest remainder, so that the share of all images is rounded once.
    """
    if len(labels) < 2:
        raise PipelineError(f"train.validation_share: {len(labels)} training images; expected at least 2 to split")
    size = min(max(round(share * len(labels)), 1), len(labels) - 1)
    exact = np.bincount(labels) * size / len(labels)
    taken = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(taken - exact, kind="stable")
    taken[by_remainder[: size - taken.sum()]] += 1

    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(taken)]
    validation = np.zeros(len(labels), dtype=bool)
    validation[np.concatenate(chosen)] = True
    return np.flatnonzero(~validation), np.flatnonzero(validation)
