"""The images and labels in `data/raw`, and the seeded split that training chooses its epoch on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.data import catalog
from mnist_pipeline.data.idx import read_idx
from mnist_pipeline.errors import PipelineError

SplitName = Literal["train", "test"]
SPLIT_FILES: dict[SplitName, tuple[str, str]] = {
    "train": (catalog.TRAIN_IMAGES, catalog.TRAIN_LABELS),
    "test": (catalog.TEST_IMAGES, catalog.TEST_LABELS),
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
    """Reads one split from its two IDX files.

    Raises:
        PipelineError: a file is missing, damaged or empty, or the two do not belong together.
    """
    images_name, labels_name = SPLIT_FILES[split]
    images, labels = read_idx(folder / images_name), read_idx(folder / labels_name)
    if images.ndim != 3 or labels.ndim != 1:
        raise PipelineError(
            f"{folder}: {images_name} has shape {images.shape} and {labels_name} {labels.shape}; "
            "expected [N, height, width] and [N]: are the files exchanged?"
        )
    if len(images) != len(labels):
        raise PipelineError(f"{folder}: {images_name} holds {len(images)} images, {labels_name} {len(labels)} labels")
    if images.size == 0:
        raise PipelineError(f"{folder}: {images_name} holds no pixels: its shape is {images.shape}")
    return Split(images, labels)


def pixel_statistics(images: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels, divided by 255; from sums of whole numbers, without a copy."""
    pixels = images.ravel()
    mean = int(pixels.sum(dtype=np.int64)) / pixels.size
    mean_square = int(np.einsum("i,i->", pixels, pixels, dtype=np.int64)) / pixels.size
    return mean / 255, (mean_square - mean**2) ** 0.5 / 255


def stratified_split(
    labels: NDArray[np.uint8], held_out: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted indices of the kept and of the held-out images; each class gives its share, to rounding.

    Shares are rounded by largest remainder, so the held-out part has exactly `held_out` images.

    Raises:
        PipelineError: fewer than one image would be left to either part.
    """
    if not 0 < held_out < len(labels):
        raise PipelineError(
            f"train.validation_size: {held_out} images to hold out of {len(labels)}; expected 1 to {len(labels) - 1}"
        )
    counts = np.bincount(labels)
    share = counts * held_out / len(labels)
    taken = np.floor(share).astype(np.int64)
    by_remainder = np.argsort(taken - share, kind="stable")
    taken[by_remainder[: held_out - taken.sum()]] += 1

    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(taken)]
    mask = np.zeros(len(labels), dtype=bool)
    mask[np.concatenate(chosen)] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
