"""Files written whole or not at all, and the digests that name them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mnist_pipeline.errors import PipelineError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`, renamed onto it when the block ends without an error.

    Raises:
        PipelineError: it cannot be written.
    """
    try:
        temporary = _temporary(target)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise PipelineError(f"{target}: cannot be written: {error.strerror}: mend that and run again") from error


def demand_writable(target: Path) -> None:
    """Finds out before long work whether its result can be written.

    Raises:
        PipelineError: it cannot.
    """
    try:
        _temporary(target).unlink()
    except OSError as error:
        raise PipelineError(f"{target}: cannot be written: {error.strerror}: mend that and run again") from error


def _temporary(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
    os.close(handle)
    return Path(name)


def write_bytes(target: Path, content: bytes) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    write_bytes(target, content.encode())


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Writes sorted, indented JSON: equal content gives equal bytes."""
    write_text(target, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(source: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(source.read_text())
    return content


def file_digest(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file's bytes; `md5` gives what `dvc.lock` records."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def tree_digest(folder: Path, pattern: str) -> str:
    """Hexadecimal SHA-256 of the names and bytes of the files below a folder that match a pattern."""
    files = sorted(folder.rglob(pattern))
    named = [f"{path.relative_to(folder).as_posix()} {file_digest(path, 'sha256')}" for path in files]
    return hashlib.sha256("\n".join(named).encode()).hexdigest()


def directory_digest(folder: Path) -> str:
    """The MD5 by which DVC names a flat folder in `dvc.lock`, with its `.dir` ending."""
    entries = [{"md5": file_digest(path, "md5"), "relpath": path.name} for path in sorted(folder.iterdir())]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"
