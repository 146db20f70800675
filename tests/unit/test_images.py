"""The measurements of one's own images, on a few small ones."""

import shutil
from pathlib import Path

import pytest

import images
import rivals
from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(paths.PARAMS, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pictures_are_packed_batched_and_trained_on_beside_those_of_imagefolder(folder: Path) -> None:
    images.write_pictures(folder, 300, (12, 16, 3))
    packed = images.apart(folder, "images.py", "pack")
    assert load_split(paths.RAW, "train").images.shape == (240, 12, 16, 3)
    loaded = images.apart(folder, "rivals.py", "load", "pictures", "distorted")
    for measured in (packed, loaded):
        assert measured["result"] > 0
        assert measured["resident"] > measured["own"] > 10**6
    assert min(rivals.decode("pictures"), images.batches("bytes"), images.batches("distorted")) > 0
    times = images.epochs("lenet", "128")
    assert times.pop("images") == 128
    assert min(times.values()) > 0


def test_images_in_a_file_are_trained_on_for_some_steps(folder: Path) -> None:
    images.write_raw(folder, 500, (12, 16, 3))
    found = images.train_large("2")
    assert found["bytes"] == 500 * 12 * 16 * 3
    assert (found["steps"], found["images"], found["validated"]) == (2, 256, 42)
    assert min(found["prepare"], found["fit"]) > 0


def test_what_ends_in_an_error_is_no_measurement(folder: Path) -> None:
    with pytest.raises(images.subprocess.CalledProcessError):
        images.apart(folder, "images.py", "batches", "bytes")
