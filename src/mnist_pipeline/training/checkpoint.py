"""What a training keeps on disk while it runs, so that the same command resumes it after it was killed."""

import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_regular, write_bytes

KEPT_SECONDS = 30 * 24 * 3600  # how long a checkpoint of a training that never ended is kept
DIGEST_BYTES = 32


class Checkpoint:
    """The one checkpoint file of one training: SHA-256 of what `torch.save` writes, then that.

    Its name is a digest of `identity`, all that the weights depend on, so that no other training finds it. Nothing
    here ends a training: `warn` gets one line of what went wrong.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], warn: Callable[[str], None]) -> None:
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.path = folder / f"{name[:32]}.checkpoint"
        self._warn = warn
        self._writable = True

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, whole or not at all; `state` nests mappings, lists, tensors, numbers and text."""
        stream = io.BytesIO()
        torch.save(dict(state), stream)
        content = stream.getvalue()
        try:
            write_bytes(self.path, hashlib.sha256(content).digest() + content)
        except PipelineError as error:
            if self._writable:
                self._warn(f"no checkpoint is kept: {error}")
            self._writable = False

    def load(self) -> dict[str, Any] | None:
        """What was saved last, its tensors on the CPU, or None where nothing usable is there."""
        try:
            stored = read_regular(self.path)
            digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
            if hashlib.sha256(content).digest() != digest:
                raise ValueError("its checksum is wrong")
            state: dict[str, Any] = torch.load(io.BytesIO(content), "cpu", weights_only=True)  # which runs no code
            return state
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._warn(f"{self.path}: the checkpoint cannot be used ({error}): training begins from the start")
            return None

    def remove(self) -> None:
        """Remove the checkpoint of a training whose results are written, and those that nobody has resumed for long."""
        try:
            self.path.unlink(missing_ok=True)
            for path in self.path.parent.glob("*"):
                if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()  # a folder is of a killed process
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # another training was faster
                self._warn(f"{error.filename}: an old checkpoint cannot be removed: {error.strerror}")
