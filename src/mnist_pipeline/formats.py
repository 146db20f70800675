"""The bytes of what is written, and the digests that name it: equal content gives equal bytes."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd  # which takes half a second to import


def json_text(content: Mapping[str, Any] | list[Any]) -> str:
    """Sorted, indented JSON; a number that is not finite raises a `ValueError`."""
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def csv_text(table: "pd.DataFrame", float_format: str = "%.6f") -> str:
    """The table without its index, lines ending in `\\n` on every system."""
    return table.to_csv(index=False, float_format=float_format, lineterminator="\n")


def file_digest(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file's bytes; `md5` gives what `dvc.lock` records."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def directory_digest(folder: Path) -> str:
    """The MD5 by which DVC names a flat folder in `dvc.lock`, with its `.dir` ending."""
    entries = [{"md5": file_digest(path, "md5"), "relpath": path.name} for path in sorted(folder.iterdir())]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def files_digest(files: Iterable[Path]) -> str:
    """Hexadecimal SHA-256 of the names and bytes of some files."""
    named = [f"{path.as_posix()} {file_digest(path, 'sha256')}" for path in sorted(files)]
    return hashlib.sha256("\n".join(named).encode()).hexdigest()
