"""A folder of one's own pictures by class, as for torchvision's ImageFolder, packed into IDX files.

It has `train/<class>/` and `test/<class>/`, or `<class>/` alone, of which a share becomes the test set. The rules:

- A class is named by its folder, NFC-normalised; labels follow the code points of the names, as `sorted` has them.
- Pictures in folders within a class folder belong to the class. A link to a folder is an error.
- `train` and `test` are splits where they have folders in them, else they are classes of these names.
- What begins with a dot, and `__MACOSX`, is ignored. Files that are no pictures by name, or lie outside of the class
  folders, are left out, and one line has their number.
- In a split, pictures are in the order of their labels, then of their paths. One that cannot be read is left out, and
  named in `pictures.csv`. All else is a `PipelineError`.
"""

import csv
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count, pairwise
from math import prod
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from mnist_pipeline import console
from mnist_pipeline.data.catalog import picture_settings
from mnist_pipeline.data.dataset import SPLITS, SplitName, validation_split, write_images, write_labels
from mnist_pipeline.data.picture import SUFFIXES, check_settings, prepare_many
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_table

CHUNK = 512  # pictures that a process reads at once, or as many as make images of so many bytes:
CHUNK_BYTES = 2**20
AHEAD = 64  # chunks whose images may wait to be written, so that memory does not grow with the number of pictures
LAYOUT = "expected a folder of pictures for each class, or train and test with such folders in them"


def read(data: Any, target: Path) -> list[str]:
    """Write the IDX files and `pictures.csv` into `target`, an empty folder, by the section `data` of params.yaml.

    The names of the classes are returned, in the order of the labels. The bytes do not depend on the number of cores.
    """
    settings, shape = picture_settings(data), (data.image.height, data.image.width, data.image.channels)
    check_settings(settings, shape)
    root = Path(data.folder)
    with _processes() as pool:  # they start while the folder is listed
        names, files, labels, in_test = _find(root, data.test)
        chosen = {split: np.flatnonzero(in_test == (split == "test")) for split in SPLITS}
        for split, places in chosen.items():  # before the long work, and then without those that cannot be read
            _check_classes(split, labels[places], names)

        rows: list[tuple[str, int | str, str, str]] = [("split", "image", "file", "problem")]
        size = max(1, min(CHUNK, CHUNK_BYTES // prod(shape)))
        with console.progress("pictures", len(files)) as on_progress:

            def images(of: Sequence[str], problems: list[str]) -> Iterator[NDArray[np.uint8]]:
                chunks = [of[start : start + size] for start in range(0, len(of), size)]
                for start in range(0, len(chunks), AHEAD):
                    work = partial(prepare_many, root, settings, shape)
                    for prepared, found in pool.map(work, chunks[start : start + AHEAD]):
                        problems += found
                        on_progress(len(found))
                        yield prepared

            for split, places in chosen.items():
                of, problems = [files[place] for place in places], list[str]()
                write_images(target, split, shape, images(of, problems))
                readable = labels[places][[not problem for problem in problems]]
                _check_classes(split, readable, names)
                write_labels(target, split, readable, len(names))
                number = count()
                for file, problem in zip(of, problems, strict=True):  # the name of a file may be no text
                    rows.append(
                        (split, "" if problem else next(number), file.encode(errors="replace").decode(), problem)
                    )
    if unreadable := [file for _, _, file, problem in rows[1:] if problem]:
        shown = one_line(", ".join(unreadable))
        console.warn(f"data.folder: {len(unreadable)} of {len(files)} cannot be read, see pictures.csv: {shown}")
    with (target / "pictures.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(rows)
    return names


def _find(root: Path, test: Any) -> tuple[list[str], list[str], NDArray[np.int64], NDArray[np.bool_]]:
    """The names of the classes; each picture's path from `root`, its label, and whether it is for testing."""
    inside = {Path(place).relative_to(root): (folders, files) for place, folders, files in _walk(root)}
    folders, _ = inside[Path()]
    splits = [name for name in folders if name.lower() in SPLITS and inside[Path(name)][0]]
    if splits and sorted(splits) != ["test", "train"]:
        advice = f"rename one to train or test, or set data.folder to the one with the classes, such as {splits[0]}"
        raise PipelineError(f"data.folder: {root} has {', '.join(folders)}; {LAYOUT}: {advice}")
    if splits and test.groups != "none":
        raise PipelineError(f"data.test.groups = {test.groups!r}: {root} has train and test already; use none")

    depth = 2 if splits else 1
    pictures: dict[str, list[str]] = {}
    for place, (_, of) in inside.items():
        if len(place.parts) >= depth and (not splits or place.parts[0] in splits):
            found = pictures.setdefault(normalize("NFC", place.parts[depth - 1]), [])
            found += [f"{place.as_posix()}/{file}" for file in of if file.lower().endswith(SUFFIXES)]
    names = sorted(pictures)
    files = [file for name in names for file in sorted(pictures[name])]
    _check_names(names, len(files), root)
    labels = np.repeat(np.arange(len(names)), [len(pictures[name]) for name in names])
    if left_out := sum(len(of) for _, of in inside.values()) - len(files) - (test.groups != "none"):
        console.info(f"data.folder: {root}: {left_out} left out: no pictures by name, or not in the folder of a class")
    in_test = np.array([file.startswith("test/") for file in files]) if splits else _test_set(root, files, labels, test)
    return names, files, labels, in_test


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each folder, the folders in it and its files, without what is ignored."""

    def fail(error: OSError) -> None:
        raise PipelineError(f"data.folder: {error.filename}: cannot be read: {error.strerror}; {LAYOUT}") from error

    for place, folders, files in os.walk(root, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        if links := [name for name in folders if Path(place, name).is_symlink()]:  # DVC does not see what they hold
            raise PipelineError(f"data.folder: {Path(place, links[0])} is a link to a folder: put the folder there")
        yield place, folders, [name for name in files if not name.startswith(".")]


def _check_names(names: Sequence[str], pictures: int, root: Path) -> None:
    if len(names) < 2 or not pictures:
        raise PipelineError(f"data.folder: {root} has {len(names)} classes with {pictures} pictures; {LAYOUT}")
    for name, other in pairwise(sorted(names, key=str.lower)):
        if name.lower() == other.lower():
            raise PipelineError(f"data.folder: the classes {name} and {other} differ only in case: rename one of them")
    if unprintable := [name for name in names if not name.isprintable()]:
        raise PipelineError(f"data.folder: the name of the class {unprintable[0]!a} is no text: rename it")


def _check_classes(split: SplitName, labels: NDArray[np.int64], names: Sequence[str]) -> None:
    counts = np.bincount(labels, minlength=len(names))
    if not (counts.all() if split == "train" else counts.any()):
        shown = f"class {names[int(counts.argmin())]!r}" if counts.any() else "any class"
        raise PipelineError(f"data.folder: no readable picture of {shown} for {split}: add some, or change data.test")


def _test_set(root: Path, files: Sequence[str], labels: NDArray[np.int64], test: Any) -> NDArray[np.bool_]:
    """Which pictures `[N]` are for testing: of each class its share, as nearly as whole groups allow.

    Groups come in random order, and each is taken that brings the counts of its classes closer to their share: the sum
    of the squared differences falls. (StratifiedGroupKFold can meet shares of 1/2, 1/3, … alone.)
    """
    chosen = np.zeros(len(files), dtype=bool)
    if test.groups == "none":
        chosen[validation_split(labels, test.share, test.seed)[1]] = True
        return chosen
    groups = _groups(root / test.groups, files)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    lacking = test.share * np.bincount(labels)
    for group in np.random.default_rng(test.seed).permutation(len(members)):
        of, counts = np.unique(labels[members[group]], return_counts=True)
        if counts @ (2 * lacking[of] - counts) > 0:
            lacking[of] -= counts
            chosen[members[group]] = True
    return chosen


def _groups(path: Path, files: Sequence[str]) -> NDArray[np.int64]:
    """The number of each file's group `[N]`, by a table of files and groups; a file that it lacks is its own group."""
    table = read_table(path, {"file": str, "group": str}, "data.test.groups names this CSV file in UTF-8")
    group_of = {normalize("NFC", file): f"group {group}" for file, group in zip(table.file, table.group, strict=True)}
    known = [normalize("NFC", file) for file in files]
    unknown = sorted(group_of.keys() - set(known))
    if unknown or len(group_of) < len(table):
        expected = f"expected pictures of a class, each once, as paths from {path.parent} with /"
        raise PipelineError(f"{path}: {len(unknown)} files are missing; {expected}: {one_line(', '.join(unknown))}")
    return np.unique([group_of.get(file, f"file {file}") for file in known], return_inverse=True)[1]


def _processes() -> ProcessPoolExecutor:
    """One for each core. They are spawned, which is safe beside threads, and Ctrl-C ends them without a traceback."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    spawn, ending = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_DFL)
    pool = ProcessPoolExecutor(cores, spawn, signal.signal, ending)
    pool.map(abs, range(cores or 1))  # or else they would start with the first pictures
    return pool
