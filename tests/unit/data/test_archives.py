"""Published archives, in small and in their original formats, become IDX files where their MD5 is torchvision's."""

import bz2
import gzip
import hashlib
import json
import pickle
import tarfile
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import scipy.io
from torchvision import datasets

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.data.idx import format_idx
from mnist_pipeline.errors import PipelineError

EMNIST = {"balanced": 47, "byclass": 62, "bymerge": 47, "digits": 10, "letters": 26, "mnist": 10}
CLASSES = {f"emnist-{name}": classes for name, classes in EMNIST.items()}
CLASSES |= dict.fromkeys(["qmnist", "usps", "svhn", "cifar10"], 10) | {"cifar100": 100}
SHAPES = {"usps": (16, 16, 1)} | dict.fromkeys(["svhn", "cifar10", "cifar100"], (32, 32, 3))


def content(dataset: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Random images [N, height, width, channels] and all labels, first the last one."""
    random = np.random.default_rng(split == "train")
    labels = np.arange(CLASSES[dataset])[::-1]
    return random.integers(0, 256, (len(labels), *SHAPES.get(dataset, (28, 28, 1))), np.uint8), labels


def emnist() -> dict[str, bytes]:
    """One archive of six data sets, with transposed images."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in EMNIST:
            for split in ("train", "test"):
                images, labels = content(f"emnist-{name}", split)
                labels = labels + (name == "letters")
                for part, array in (("images-idx3", images[..., 0].transpose(0, 2, 1)), ("labels-idx1", labels)):
                    idx = format_idx(array.astype(np.uint8))
                    archive.writestr(f"gzip/emnist-{name}-{split}-{part}-ubyte.gz", gzip.compress(idx, mtime=0))
    return {"gzip.zip": packed.getvalue()}


def qmnist() -> dict[str, bytes]:
    archives = {}
    for split in ("train", "test"):
        images, labels = content("qmnist", split)
        all_labels = np.column_stack([labels, np.full((len(labels), 7), 9)]).astype(">i4")
        archives[f"qmnist-{split}-images-idx3-ubyte.gz"] = gzip.compress(format_idx(images[..., 0]), mtime=0)
        archives[f"qmnist-{split}-labels-idx2-int.gz"] = gzip.compress(
            bytes([0, 0, 12, 2, 0, 0, 0, len(labels), 0, 0, 0, 8]) + all_labels.tobytes(), mtime=0
        )
    return archives


def usps() -> dict[str, bytes]:
    """Labels from 1, pixels from -1 to 1."""
    archives = {}
    for name, split in (("usps.bz2", "train"), ("usps.t.bz2", "test")):
        lines = []
        for image, label in zip(*content("usps", split), strict=True):
            # torchvision cuts off what is behind the point
            pixels = (f"{index}:{value:.8f}" for index, value in enumerate((image.ravel() + 0.5) / 255 * 2 - 1, 1))
            lines.append(f"{label + 1} {' '.join(pixels)}\n")
        archives[name] = bz2.compress("".join(lines).encode())
    return archives


def svhn() -> dict[str, bytes]:
    """MATLAB's order of axes; 10 is the digit 0."""
    archives = {}
    for split in ("train", "test"):
        images, labels = content("svhn", split)
        written = BytesIO()
        scipy.io.savemat(written, {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
        archives[f"{split}_32x32.mat"] = written.getvalue()
    return archives


class OldArray:
    """An array as Python 2 pickles it: its bytes are text."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Any, ...]:
        state = (1, self.array.shape, self.array.dtype, False, self.array.tobytes().decode("latin1"))
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), "b"), state


def tar(folder: str, members: dict[str, Any]) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, value in members.items():
            pickled = pickle.dumps(value, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(pickled)
            archive.addfile(member, BytesIO(pickled))
    return packed.getvalue()


def batch(dataset: str, split: str, part: slice = slice(None)) -> dict[str, Any]:
    images, labels = content(dataset, split)
    flat = OldArray(images[part].transpose(0, 3, 1, 2).reshape(len(images[part]), -1))
    if dataset == "cifar10":
        return {"batch_label": split, "labels": labels[part].tolist(), "data": flat}
    return {"fine_labels": labels.tolist(), "coarse_labels": [0] * len(labels), "data": flat}


def cifar10() -> dict[str, bytes]:
    batches = {f"data_batch_{n}": batch("cifar10", "train", slice(2 * n - 2, 2 * n)) for n in range(1, 6)}
    meta = {"batches.meta": {"label_names": [f"class {n}" for n in range(10)], "num_vis": 3072}}
    return {
        "cifar-10-python.tar.gz": tar("cifar-10-batches-py", meta | batches | {"test_batch": batch("cifar10", "test")})
    }


def cifar100() -> dict[str, bytes]:
    batches = {split: batch("cifar100", split) for split in ("train", "test")}
    meta = {"meta": {"coarse_label_names": ["any"], "fine_label_names": [f"class {n}" for n in range(100)]}}
    return {"cifar-100-python.tar.gz": tar("cifar-100-python", batches | meta)}


ARCHIVES = {"qmnist": qmnist, "usps": usps, "svhn": svhn, "cifar10": cifar10, "cifar100": cifar100}


def name(url: str) -> str:
    return url.rsplit("/", 1)[-1]


@pytest.fixture
def published(workplace, server, monkeypatch):
    """Makes the small archives of a data set those that torchvision lists; returns them."""

    def publish(dataset: str, archives: dict[str, bytes] | None = None) -> dict[str, bytes]:
        archives = archives or ARCHIVES.get(dataset, emnist)()
        md5 = {name: hashlib.md5(archive).hexdigest() for name, archive in archives.items()}
        at = server.address("torchvision")
        monkeypatch.setattr(datasets.EMNIST, "url", f"{at}/gzip.zip")
        monkeypatch.setattr(datasets.EMNIST, "md5", md5.get("gzip.zip"))
        listed = {
            split: [(f"{at}/{name(url)}", md5.get(name(url))) for url, _ in resources]
            for split, resources in datasets.QMNIST.resources.items()
        }
        monkeypatch.setattr(datasets.QMNIST, "resources", listed)
        for kind in (datasets.USPS, datasets.SVHN):
            listed = {split: [f"{at}/{it[1]}", it[1], md5.get(it[1])] for split, it in kind.split_list.items()}
            monkeypatch.setattr(kind, "split_list", listed)
        for kind in (datasets.CIFAR10, datasets.CIFAR100):
            monkeypatch.setattr(kind, "url", f"{at}/{kind.filename}")
            monkeypatch.setattr(kind, "tgz_md5", md5.get(kind.filename))
        server.archives = archives
        workplace.change(dataset=dataset, mirrors=[])
        return archives

    return publish


@pytest.mark.parametrize("dataset", CLASSES)
def test_each_data_set_comes_upright_with_its_labels_and_names(workplace, published, server, capsys, dataset) -> None:
    archives = published(dataset)
    workplace.run()
    for split in ("train", "test"):
        found, (images, labels) = load_split(paths.RAW, split), content(dataset, split)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)
    assert len(workplace.raw()) == 4
    names = json.loads(paths.CLASSES.read_text())
    assert len(set(names)) == CLASSES[dataset]
    assert {"emnist-letters": "a", "emnist-byclass": "0", "cifar100": "class 0"}.get(dataset, names[0]) == names[0]
    assert {"emnist-letters": "z", "emnist-byclass": "z", "cifar100": "class 99"}.get(dataset, names[-1]) == names[-1]
    assert sorted(server.requested) == sorted(f"torchvision/{it.removesuffix('.gz')}" for it in archives)
    assert not paths.DOWNLOAD_CACHE.exists()
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert workplace.published == [(workplace.params, "download")]


@pytest.mark.parametrize("dataset", ["emnist-letters", "qmnist", "usps", "svhn", "cifar10"])
def test_a_folder_gives_the_archives_without_a_network(workplace, published, server, tmp_path, dataset) -> None:
    archives = published(dataset)
    for depth, (file, archive) in zip(("", "a", "a/b", "b"), archives.items(), strict=False):
        (tmp_path / "own" / depth).mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / depth / file).write_bytes(archive)
    (tmp_path / "own/a.old").mkdir()
    (tmp_path / "own/a.old" / file).write_bytes(b"another of the same name")
    workplace.change(source=str(tmp_path / "own"))
    workplace.run()
    np.testing.assert_array_equal(load_split(paths.RAW, "test").labels, content(dataset, "test")[1])
    assert server.requested == []


@pytest.mark.parametrize("lying", [None, b"damaged", "folder"])
def test_an_archive_that_a_folder_lacks_is_named(workplace, published, server, before, tmp_path, lying) -> None:
    archives = published("usps")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/usps.bz2").write_bytes(archives["usps.bz2"])
    if lying == "folder":
        (tmp_path / "own/usps.t.bz2").mkdir()
    elif lying:
        (tmp_path / "own/usps.t.bz2").write_bytes(lying)
    workplace.change(source=str(tmp_path / "own"))
    md5 = datasets.USPS.split_list["test"][2]
    with pytest.raises(PipelineError, match=rf"data\.source.*usps\.t\.bz2.*{md5}.*{tmp_path}/own") as caught:
        workplace.run()
    assert ("with that MD5" in str(caught.value)) == bool(lying)
    assert (server.requested, workplace.raw()) == ([], before)


def test_an_interrupted_run_fetches_what_it_has_not_and_what_was_damaged_since(
    workplace, published, server, before
) -> None:
    archives = published("qmnist")
    third = "qmnist-test-images-idx3-ubyte.gz"
    server.scripts[f"torchvision/{third}"] = iter([404])
    with pytest.raises(PipelineError, match=f"{third}.*404"):
        workplace.run()
    assert workplace.raw() == before
    (paths.DOWNLOAD_CACHE / "qmnist" / "qmnist-train-images-idx3-ubyte.gz").write_bytes(b"damaged since")
    server.requested.clear()
    workplace.run()
    again = [it for it in archives if it != "qmnist-train-labels-idx2-int.gz"]
    assert server.requested == [f"torchvision/{it.removesuffix('.gz')}" for it in again]
    np.testing.assert_array_equal(load_split(paths.RAW, "test").labels, content("qmnist", "test")[1])


def test_named_mirrors_are_tried_in_turn_in_place_of_torchvisions(workplace, published, server) -> None:
    published("svhn")
    server.scripts["one/train_32x32.mat"] = iter([b"another file"])
    workplace.change(mirrors=[server.address("one"), f"{server.address('two')}/"])
    workplace.run()
    assert server.requested == ["one/train_32x32.mat", "two/train_32x32.mat", "one/test_32x32.mat"]


def test_archives_with_another_checksum_enter_nowhere(workplace, published, server, before) -> None:
    published("cifar10")
    server.archives = {"cifar-10-python.tar.gz": b"another"}
    with pytest.raises(PipelineError, match=f"{datasets.CIFAR10.tgz_md5}.*with that MD5"):
        workplace.run()
    assert (workplace.raw(), workplace.kept()) == (before, set())


def test_a_pickle_may_make_arrays_alone(workplace, published, before, capsys) -> None:
    archive = tar("cifar-10-batches-py", {"data_batch_1": print})
    published("cifar10", {"cifar-10-python.tar.gz": archive})
    with pytest.raises(PipelineError, match="print"):
        workplace.run()
    assert workplace.raw() == before
