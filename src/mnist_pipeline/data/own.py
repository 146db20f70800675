"""The data set `idx`: four IDX files of one's own, of any size of images, copied without holding one in memory.

What cannot be used is a `PipelineError` that names the file or key and what to do.
"""

import gzip
import re
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnist_pipeline import console
from mnist_pipeline.data.dataset import SPLITS, load_split, split_file, write_labels
from mnist_pipeline.data.idx import FILE_NAMES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, read_idx
from mnist_pipeline.data.picture import SUFFIXES
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import open_file, read_file


def read(data: Any, target: Path) -> list[str]:
    """Copy the files from the folder that `data.folder` names into an empty one; returns the names of the classes."""
    files = find_files(Path(data.folder), "data.folder")
    for name, path in files.items():
        with open_file(path, "make it a readable file") as file, (target / name).open("wb") as copy:
            try:
                shutil.copyfileobj(gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file, copy)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise PipelineError(f"{path}: damaged or cut off ({one_line(error)}): fetch it again") from error
        rank = read_idx(target / name, str(path)).ndim
        (target / name).rename(target / name.replace("idx3", f"idx{rank}"))
    if "emnist" in files[TRAIN_IMAGES].name.lower():
        emnist = "EMNIST's own files hold transposed images; data.dataset: emnist-… turns them upright"
        console.warn(f"{files[TRAIN_IMAGES]}: {emnist}")

    labels = {split: load_split(target, split).labels for split in SPLITS}
    every = np.concatenate(list(labels.values()))
    least, classes = int(every.min()), int(every.max()) + 1
    if least:
        both = f"{files[TRAIN_LABELS]}, {files[TEST_LABELS]}"
        raise PipelineError(f"{both}: labels are from {least} on, expected from 0: subtract {least} from all of them")
    for split, of in labels.items():
        split_file(target, split, "labels").unlink()
        write_labels(target, split, of, classes)
    return _label_names(data.label_names, files[TRAIN_IMAGES].with_name("label_names.txt"), classes)


def find_files(folder: Path, key: str, names: Sequence[str] = FILE_NAMES) -> dict[str, Path]:
    """The files that are meant by classic names, raw or as .gz, in the folder that `key` of params.yaml names.

    Similar names will do, such as emnist-digits-test-images-idx3-ubyte.gz or train-images.idx3-ubyte, and folders up to
    two levels deeper, as in a root of torchvision, where one file is nearest.
    """
    files = [path for depth in ("*", "*/*", "*/*/*") for path in sorted(folder.glob(depth)) if not path.is_dir()]
    files = [path for path in files if not path.name.startswith(".")]  # such as macOS's notes on the others
    return {name: _nearest(name, files, f"{key}: {folder}") for name in names}


def _nearest(name: str, files: Sequence[Path], where: str) -> Path:
    split, kind, _ = name.split("-", 2)
    pattern = rf"(.*[-_.])?({split}{'|test' if split == 't10k' else ''})[-_.]{kind}[-_.]idx\d[-_.][a-z]+(\.gz)?"
    similar = [path for path in files if re.fullmatch(pattern, path.name, re.IGNORECASE)]
    similar = [path for path in similar if path.suffix != ".gz" or path.with_suffix("") not in similar]

    def distance(path: Path) -> tuple[int, bool]:
        return len(path.parts), not path.name.startswith(f"{split}-{kind}-idx")

    found = [path for path in similar if distance(path) == min(map(distance, similar))]
    if len(found) == 1:
        return found[0]
    lying = one_line(", ".join(map(str, found or files)) or "nothing")
    advice = "name the folder that has it, or write it as docs/how-to/use-your-own-data.md shows"
    if any(path.name.lower().endswith(SUFFIXES) for path in files):
        advice = "for pictures in class folders, set data.dataset: folder and name theirs in data.folder"
    raise PipelineError(f"{where}: expected one file like {name}, raw or as .gz, found {lying}: {advice}")


def _label_names(listed: Sequence[str], file: Path, classes: int) -> list[str]:
    where, names = "data.label_names", list(listed)
    if not names and not file.exists():
        return [str(label) for label in range(classes)]
    if not names:
        where, text = str(file), read_file(file, "make it readable").decode("utf-8-sig", "replace")
        names = [line.strip() for line in text.rstrip().splitlines()]
    good = [name for name in dict.fromkeys(names) if name and "\N{REPLACEMENT CHARACTER}" not in name]
    if not len(good) == len(names) == classes:
        found = f"{len(names)} names, {len(good)} of them different and in UTF-8"
        raise PipelineError(f"{where}: {found}; expected {classes}, those of the labels 0 to {classes - 1}")
    return names
