"""The images, labels and class names that download wrote, and the validation set, on which training chooses.

Files that are missing, damaged or do not belong together, and too few images, are a `PipelineError`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline.data.idx import format_header, format_idx, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_regular

SplitName = Literal["train", "test"]
SPLITS: dict[SplitName, str] = {"train": "train", "test": "t10k"}
"""Each with the beginning of its files' names."""
CHANNELS = ((1,), (3,), (4,))  # grey, colour, colour with opacity
MOST_CLASSES = 65_535
CHUNK = 10**7  # pixels that are read at once
BATCH = 784_000  # pixels of which the outputs of a network are computed at once


@dataclass(frozen=True)
class Split:
    """Images `uint8 [N, height, width, channels]`, mapped from their file, and their labels `int64 [N]`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Split":
        return Split(self.images[indices], self.labels[indices])


def load_split(folder: Path, split: SplitName) -> Split:
    """Map the images and read the labels of one split from its two IDX files."""
    images_path, labels_path = (split_file(folder, split, kind) for kind in ("images", "labels"))
    images, labels = read_idx(images_path), read_idx(labels_path)
    known_shape = images.ndim == 3 or images.shape[3:] in CHANNELS
    if images.dtype != np.uint8 or not known_shape or images.size == 0 or labels.shape != images.shape[:1]:
        raise PipelineError(
            f"{folder}: {images_path.name} has {images.dtype.name} {images.shape}, {labels_path.name} {labels.shape}; "
            "expected uint8 [N, height, width] or [N, height, width, 1, 3 or 4 channels], and [N]: are they exchanged?"
        )
    least, most = labels.min(), labels.max()
    if labels.dtype.kind not in "iu" or least < 0 or most >= MOST_CLASSES:
        found = f"{labels.dtype.name} from {least} to {most}"
        raise PipelineError(f"{labels_path}: labels are {found}; expected whole numbers from 0 to {MOST_CLASSES - 1}")
    return Split(images.reshape(*images.shape[:3], *images.shape[3:] or (1,)), labels.astype(np.int64))


def split_file(folder: Path, split: SplitName, kind: Literal["images", "labels"]) -> Path:
    """The IDX file of a split in a folder; its name ends with the rank and the type of the array."""
    start = f"{SPLITS[split]}-{kind}-idx"
    return min(folder.glob(f"{start}*"), default=folder / f"{start}{3 if kind == 'images' else 1}-ubyte")


def write_images(target: Path, split: SplitName, shape: Sequence[int], batches: Iterable[NDArray[np.uint8]]) -> None:
    """Write the images of a split, in batches `[N, *shape]`, whose number is known only when the last has come."""
    shape, written = shape[:2] if tuple(shape[2:]) == (1,) else shape, 0
    with (target / f"{SPLITS[split]}-images-idx{1 + len(shape)}-ubyte").open("wb") as file:
        file.write(format_header((0, *shape)))
        for images in batches:
            file.write(images.tobytes())
            written += len(images)
        file.seek(0)
        file.write(format_header((written, *shape)))


def write_labels(target: Path, split: SplitName, labels: NDArray[np.int64], classes: int) -> None:
    """Write the labels of a split, in one byte each, or in four of more than 256 classes."""
    ending, kind = ("ubyte", "uint8") if classes <= 256 else ("int", ">i4")
    (target / f"{SPLITS[split]}-labels-idx1-{ending}").write_bytes(format_idx(labels.astype(kind)))


def load_label_names(path: Path, classes: int | None) -> list[str]:
    """The names of the labels 0 … classes-1, or of all; numbers where there is no such file, as in older commits."""
    if not path.exists():
        return [str(label) for label in range(classes or 0)]
    try:
        names = json.loads(read_regular(path, 10**7))
    except (OSError, ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) < (classes or 0) or not all(isinstance(name, str) for name in names):
        raise PipelineError(f"{path}: expected the names of {classes or 'all'} classes: run dvc checkout, or dvc repro")
    return names[:classes]


def batch_size(shape: Sequence[int]) -> int:
    """Of how many images `[N, …]` of this shape a network's outputs are computed at once: a thousand of MNIST's."""
    return max(1, BATCH // prod(shape[1:]))


def pixel_statistics(images: NDArray[np.uint8], chosen: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels of the chosen images, divided by 255; from sums of whole numbers."""
    total = squares = 0
    for part in np.array_split(chosen, ceil(len(chosen) * images[0].size / CHUNK)):
        pixels = images[part].ravel()
        total += int(pixels.sum(dtype=np.int64))
        squares += int(np.einsum("i,i->", pixels, pixels, dtype=np.int64))
    mean, mean_square = total / (len(chosen) * images[0].size), squares / (len(chosen) * images[0].size)
    return mean / 255, (mean_square - mean**2) ** 0.5 / 255


def validation_split(labels: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
