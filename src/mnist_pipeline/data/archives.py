"""Published data sets whose archives torchvision lists: fetched, checked by its MD5, and written as IDX files.

torchvision's classes read USPS and SVHN. The others are read here: of the six data sets in EMNIST's archive only one is
unpacked, and CIFAR's pickles, although their checksum is known, may make nothing but arrays.
"""

import gzip
import hashlib
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from torchvision import datasets

from mnist_pipeline.data import sources
from mnist_pipeline.data.catalog import DATASETS
from mnist_pipeline.data.dataset import SPLITS, write_images, write_labels
from mnist_pipeline.data.idx import parse_idx
from mnist_pipeline.data.sources import SourceError
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import write_bytes

IMAGES_AT_ONCE = 1000  # that are written


class ArrayUnpickler(pickle.Unpickler):
    """Reads a pickle of arrays, text and numbers; any other is an error."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}:
            return super().find_class(module, name)
        raise PipelineError(f"a pickle that should hold arrays names {module}.{name}: fetch the archive again")


def read(data: Any, target: Path, cache: Path) -> list[str]:
    """Write the data set's IDX files into an empty folder; returns the names of the classes.

    The archives come from the folder that `data.source` names, or from the network into `cache`, where they stay.
    """
    entry, subset = DATASETS[data.dataset], data.dataset.partition("-")[2]
    kind = getattr(datasets, str(entry.torchvision_class))
    cache.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        if hasattr(kind, "split_list"):
            listed = [kind.split_list[split][::2]]
        elif hasattr(kind, "url"):
            listed = [(kind.url, getattr(kind, "tgz_md5", "") or kind.md5)]
        else:
            listed = kind.resources[split]
        images, labels, names = _load(kind, split, subset, [_archive(data, cache, *it) for it in listed])
        names = entry.label_names or names
        first = int(names[0] == "N/A")  # in front of EMNIST's letters, which are 1 to 26
        starts = range(0, len(images), IMAGES_AT_ONCE)
        write_images(target, split, images.shape[1:], (images[start : start + IMAGES_AT_ONCE] for start in starts))
        write_labels(target, split, np.asarray(labels, np.int64) - first, len(names) - first)
    return names[first:]


def _archive(data: Any, cache: Path, url: str, md5: str) -> Path:
    """The verified archive in a folder or in those within it, or in the cache, once it has been fetched."""
    name, folder, reasons = url.rsplit("/", 1)[-1], sources.named_folder(data), []
    for path in sorted((folder or cache).rglob(name)):
        if datasets.utils.check_integrity(path, md5):
            return path
        reasons.append(f"{path} is no file with that MD5")
    addresses = [f"{mirror.rstrip('/')}/{name}" for mirror in data.mirrors] or [url]
    for address in addresses if folder is None else ():
        try:
            content = sources.fetch(address, data.timeout_seconds, data.retries)
            if hashlib.md5(content).hexdigest() == md5:
                write_bytes(cache / name, content)
                return cache / name
            reasons.append(f"{one_line(address)} gives no file with that MD5")
        except SourceError as error:
            reasons.append(f"{one_line(address)}: {error}")
    raise PipelineError(
        f"data.source: no {name} with MD5 {md5}, an archive of {data.dataset}: "
        f"{'; '.join(reasons) or f'{folder} holds none'}. Put it in a folder and name that: data.source: path/to/folder"
    )


def _load(kind: Any, split: str, subset: str, archives: Sequence[Path]) -> tuple[NDArray[np.uint8], Any, list[str]]:
    """Images `[N, height, width]` or `[N, height, width, channels]`, their labels, and torchvision's class names."""
    if kind.__name__ == "EMNIST":
        with ZipFile(archives[0]) as packed:
            names = [f"gzip/emnist-{subset}-{split}-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
            images, labels = (parse_idx(gzip.decompress(packed.read(name)), name) for name in names)
        return images.transpose(0, 2, 1), labels, kind.classes_split_dict[subset]
    if kind.__name__ == "QMNIST":
        images, labels = (parse_idx(gzip.decompress(path.read_bytes()), path.name) for path in archives)
        return images, labels[:, 0], []  # the others are the writer and the place on the form
    if kind.__name__ == "USPS":
        loaded = kind(archives[0].parent, train=split == "train")
        return loaded.data, loaded.targets, []
    if kind.__name__ == "SVHN":
        loaded = kind(archives[0].parent, split=split)
        return loaded.data.transpose(0, 2, 3, 1), loaded.labels, []
    listed = [name for name, _ in (kind.train_list if split == "train" else kind.test_list)]
    wanted = [f"{kind.base_folder}/{name}" for name in (*listed, kind.meta["filename"])]
    with tarfile.open(archives[0]) as tar:
        streams = ((member.name, cast(Any, tar.extractfile(member))) for member in tar if member.name in wanted)
        found = {name: ArrayUnpickler(stream, encoding="latin1").load() for name, stream in streams}
    *batches, meta = (found[name] for name in wanted)
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch["labels" if "labels" in batch else "fine_labels"] for batch in batches])
    return images.transpose(0, 2, 3, 1), labels, meta[kind.meta["key"]]
