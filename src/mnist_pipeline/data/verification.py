"""Whether bytes are the file that they are said to be."""

import hashlib
from collections.abc import Mapping

from mnist_pipeline.data.catalog import DATASETS, FILE_NAMES, IMAGE_SIZE, DatasetName
from mnist_pipeline.data.dataset import SPLIT_FILES
from mnist_pipeline.data.idx import parse_idx
from mnist_pipeline.data.sources import SourceError
from mnist_pipeline.errors import PipelineError


def verify_file(name: str, content: bytes, dataset: DatasetName) -> None:
    """Checks one file: its SHA-256 where that is known, and its format and shape.

    Raises:
        SourceError: it is another file, or a damaged one.
    """
    expected = DATASETS[dataset].sha256
    found = hashlib.sha256(content).hexdigest()
    if expected and found != expected[name]:
        if found in expected.values():
            other = next(file for file in FILE_NAMES if expected[file] == found)
            raise SourceError(f"{name} holds the content of {other}: are the files exchanged?")
        raise SourceError(f"{name} has SHA-256 {found}, expected {expected[name]}: it is damaged or another file")
    try:
        shape = parse_idx(content, name).shape
    except PipelineError as error:
        raise SourceError(str(error)) from error
    wanted = (IMAGE_SIZE, IMAGE_SIZE) if "images" in name else ()
    if len(shape) != 1 + len(wanted) or shape[1:] != wanted:
        kind = f"images of {IMAGE_SIZE}×{IMAGE_SIZE}" if wanted else "labels"
        raise SourceError(f"{name} holds an array of shape {shape}, expected {kind}")


def verify_together(files: Mapping[str, bytes]) -> None:
    """Checks that each split has images, and as many labels.

    Raises:
        SourceError: it has not.
    """
    for images, labels in SPLIT_FILES.values():
        counts = [len(parse_idx(files[name], name)) for name in (images, labels)]
        if counts[0] != counts[1]:
            raise SourceError(f"{images} holds {counts[0]} images, but {labels} {counts[1]} labels")
        if counts[0] == 0:
            raise SourceError(f"{images} holds no image")
