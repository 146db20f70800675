"""Tiny synthetic data in the real format, so that the tests go through the real code."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_pipeline.data import catalog
from mnist_pipeline.data.idx import format_idx

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many tests run at once as there are cores

CLASSES = 10


def bars(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`count` noisy bars `uint8 [count, 28, 28]` through the middle; the label counts tenths of a half-turn."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % CLASSES).astype(np.uint8)
    random.shuffle(labels)
    angle = (labels + random.uniform(-0.2, 0.2, count)) * np.pi / CLASSES
    rows, columns = np.mgrid[-13.5:14.5, -13.5:14.5]
    across = columns * np.sin(angle)[:, None, None] - rows * np.cos(angle)[:, None, None]
    inside = np.hypot(rows, columns) < 9
    ink = np.clip(2.5 - np.abs(across), 0, 1) * inside * random.uniform(180, 255, (count, 28, 28))
    return ink.astype(np.uint8), labels


def write_idx_files(folder: Path, train: int = 400, test: int = 200) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for names, count, seed in (
        ((catalog.TRAIN_IMAGES, catalog.TRAIN_LABELS), train, 1),
        ((catalog.TEST_IMAGES, catalog.TEST_LABELS), test, 2),
    ):
        for name, array in zip(names, bars(count, seed), strict=True):
            (folder / name).write_bytes(format_idx(array))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four small IDX files; read it, do not change it."""
    folder = tmp_path_factory.mktemp("tiny_data")
    write_idx_files(folder)
    return folder
