"""Tiny synthetic data in the real format, so that tests go through the real code, and what the pipeline makes of it."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from mnist_pipeline.data import idx
from mnist_pipeline.data.idx import format_idx
from projects import Project, make_project

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many tests run at once as there are cores
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, a shell has its commands ignore Ctrl-C

CLASSES = 10
RECORDER = Path(__file__).parent / "recorder"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """While one process makes the result that many modules look at, the other runs what can do without it."""
    waiting = list(dict.fromkeys(item.path for item in items if "first_result" in getattr(item, "fixturenames", ())))
    items.sort(key=lambda item: -1 if item.path in waiting[:1] else item.path in waiting)


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
        ((idx.TRAIN_IMAGES, idx.TRAIN_LABELS), train, 1),
        ((idx.TEST_IMAGES, idx.TEST_LABELS), test, 2),
    ):
        for name, array in zip(names, bars(count, seed), strict=True):
            (folder / name).write_bytes(format_idx(array))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of all processes that run tests; TEST_FOLDER names one that several runs of pytest share, as in CI."""
    if "TEST_FOLDER" in os.environ:
        return Path(os.environ["TEST_FOLDER"])
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tiny_data(shared_folder: Path) -> Path:
    """A folder with four small IDX files; read it, do not change it."""
    folder = shared_folder / "tiny_data"
    with FileLock(shared_folder / "tiny_data.lock"):
        if not folder.exists():
            write_idx_files(folder)
    return folder


@pytest.fixture(scope="session")
def first_result(shared_folder: Path, tiny_data: Path) -> Project:
    """A project after the first run of everything, not committed yet; copy it, do not change it."""
    folder = shared_folder / "first_result"
    with FileLock(shared_folder / "first_result.lock"):  # the first that needs it makes it, which takes a minute
        if not (folder / "made").exists():
            project = make_project(folder / "repo", tiny_data)
            # by these names, MLflow knows a test, of which it reports nothing
            without = ["--unset=PYTEST_CURRENT_TEST", "--unset=CI", "--unset=GITHUB_ACTIONS"]
            own = os.environ.get("PYTHONPATH", "")
            recorded = [f"PYTHONPATH={RECORDER}:{own}", f"RECORD={shared_folder / 'recorded'}"]
            make = ["make", "--assume-old=.venv/.installed", "repro"]
            project.run("env", *without, *recorded, "SHELL=/bin/false", *make)  # as some accounts have
            (folder / "made").touch()
    return Project(folder / "repo")


@pytest.fixture(scope="module")
def reproduced(first_result: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which everything has run once and nothing is committed; the tests of a module share it, in order."""
    return first_result.copy(tmp_path_factory.mktemp("project") / "repo")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Project:
    """A project in which nothing has run yet; the tests of a module share it, in order."""
    return make_project(tmp_path_factory.mktemp("project") / "repo", tiny_data)
