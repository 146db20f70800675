"""Files written whole or not at all, and read only where they are what they should be.

What is written is decided elsewhere (`formats`), so a change here changes no output. What cannot be read or written
raises a `PipelineError` that names the file and what to do, but for `read_regular` and `open_regular`.
"""

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.formats import csv_text, json_text

if TYPE_CHECKING:
    import pandas as pd

LARGEST_FILE = 2**31  # bytes that are read at most, unless another limit is given
MAKE = "run dvc repro, or dvc pull"
# To open a FIFO would else wait for its writer; Windows has no such flag, and needs the second
NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
LEAST_SPACE = 2**24  # bytes: with fewer, the disk is the likely reason of a failure


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """An empty folder on the same disk, to make `target` in; an `OSError` in the block is one of writing it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            yield Path(folder)
    except OSError as error:
        reason = f"{error.strerror or error}: fix that and run again"
        if error.errno in NO_SPACE:
            reason = _no_space(target.parent)
        raise PipelineError(f"{target}: cannot be written: {reason}") from error


def _no_space(folder: Path) -> str:
    disk = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_mount())
    return f"no space left on the disk of {disk}: free some, then run the same command again"


def explain_full_disk(error: Exception) -> str | None:
    """What to do about the disk of the working or of the temporary folder, where a failure may come of its being full.

    Libraries report it in many ways: SQLite by an error of its own, onnx by one of a file that was cut off.
    """
    # tempfile.gettempdir finds none where the disk is full
    places = [place for place in (Path(), Path(os.environ.get("TMPDIR", "/tmp"))) if place.is_dir()]
    free, fullest = min((shutil.disk_usage(place).free, place) for place in places)
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return _no_space(Path(error.filename).parent if error.filename else fullest)
    return _no_space(fullest) if free < LEAST_SPACE else None


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """An empty folder, which takes the place of `target` when the block ends without an error."""
    with _folder_beside(target) as beside:
        new, old = beside / "new", beside / "old"
        new.mkdir()
        yield new
        if os.path.lexists(target):  # also a link that leads nowhere
            target.rename(old)
        try:
            new.rename(target)
        finally:
            if os.path.lexists(old) and not os.path.lexists(target):
                old.rename(target)  # Ctrl-C between the two loses nothing


def check_writable(target: Path) -> None:
    """Find out before long work whether its result can be written."""
    with _folder_beside(target) as folder:
        (folder / target.name).write_bytes(bytes(2**20))  # a full disk may still take a folder


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file, sync it and rename it: `target` is the old one or the new one, and whole, whatever happens."""
    with _folder_beside(target) as folder:
        new = folder / target.name
        new.write_bytes(content)
        with new.open("rb") as stream:
            os.fsync(stream.fileno())  # else a power cut can leave an empty file under the final name
        new.replace(target)


def write_text(target: Path, content: str) -> None:
    write_bytes(target, content.encode())


def write_json(target: Path, content: Mapping[str, Any] | list[Any]) -> None:
    write_text(target, json_text(content))


def write_table(target: Path, table: "pd.DataFrame", float_format: str) -> None:
    write_text(target, csv_text(table, float_format))


def read_json(source: Path) -> dict[str, Any]:
    """The object in a JSON file that a stage wrote."""
    try:
        content = json.loads(read_file(source, MAKE))
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{source}: not JSON ({one_line(error)}): run dvc checkout, or dvc repro") from error
    if not isinstance(content, dict):
        raise PipelineError(f"{source}: not a JSON object: run dvc checkout, or dvc repro")
    return content


def read_table(source: Path, columns: Mapping[str, type], advice: str = MAKE) -> "pd.DataFrame":
    """Some columns, with their types, of a CSV file that a stage or a person wrote."""
    import pandas as pd

    content = BytesIO(read_file(source, advice))
    try:
        return pd.read_csv(content, usecols=list(columns), dtype=dict(columns), keep_default_na=False)
    except ValueError as error:  # pandas' own errors are ValueErrors
        expected = f"not a table with {', '.join(columns)}"
        raise PipelineError(f"{source}: {expected} ({one_line(error)}): {advice}") from error


def read_file(source: Path, advice: str, most: int = LARGEST_FILE) -> bytes:
    """The bytes of a regular file, at most so many; where it cannot be read, the error ends with `advice`."""
    with _explained(source, advice):
        return read_regular(source, most)


def open_file(source: Path, advice: str) -> BufferedReader:
    """A regular file, of any size, to be read; where it cannot be opened, the error ends with `advice`."""
    with _explained(source, advice):
        return open_regular(source)


@contextmanager
def _explained(source: Path, advice: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = "missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
        raise PipelineError(f"{source}: {problem}: {advice}") from error


def read_regular(source: Path | str, most: int = LARGEST_FILE) -> bytes:
    """The bytes of a regular file, at most so many; else an `OSError`, whose `strerror` is the reason."""
    with open_regular(source) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(min(most, max(size, 2**16)) + 1) if size <= most else b""  # `most` would be set aside
    if max(len(content), size) > most:
        raise OSError(0, f"larger than {most:,} bytes", str(source))
    return content


def open_regular(source: Path | str) -> BufferedReader:
    """A regular file, to be read; a FIFO or a device, which would block or never end, raises an `OSError`."""
    stream = open(os.open(source, os.O_RDONLY | NO_WAIT), "rb")  # noqa: PTH123, SIM115 -- a Path takes no descriptor
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise OSError(0, "not a regular file", str(source))
