"""What a training keeps on disk while it runs, so that it can go on after it was killed."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_bytes

SECONDS = 5.0
"""How much work a kill costs at most, besides what is done between two looks at the clock."""
KEPT = 8
"""Other files of trainings that never ended, of which the newest are kept."""
DIGEST_BYTES = 32
FACTS = "facts"


@dataclass(frozen=True)
class Snapshot:
    """A moment of a training: tensors by name, and what goes into JSON."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def to_bytes(self) -> bytes:
        """SHA-256 of a safetensors file, and that file."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        content = save(tensors, {FACTS: json.dumps(self.facts)})
        return hashlib.sha256(content).digest() + content

    @staticmethod
    def from_bytes(stored: bytes) -> "Snapshot":
        """What `to_bytes` wrote.

        Raises:
            ValueError: it is something else, or damaged.
        """
        digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its checksum is wrong")
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return Snapshot(load(content), json.loads(header["__metadata__"][FACTS]))


class Checkpoints:
    """The one checkpoint of one training.

    Its file's name is a digest of `origin`, which tells everything that the weights depend on: a checkpoint of another
    training is never found. `warn` hears one line of what went wrong; nothing here ends a training.
    """

    def __init__(
        self, folder: Path, origin: dict[str, Any], warn: Callable[[str], None], seconds: float = SECONDS
    ) -> None:
        name = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
        self._path = folder / f"{name[:32]}.checkpoint"
        self._warn = warn
        self._seconds = seconds
        self._saved_at = time.monotonic()
        self._warned = False

    def is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._seconds

    def save(self, snapshot: Snapshot) -> None:
        """Replaces the checkpoint, whole or not at all."""
        try:
            write_bytes(self._path, snapshot.to_bytes())
        except PipelineError as error:
            if not self._warned:
                self._warn(f"warning: no checkpoint is kept: {error}")
            self._warned = True
        self._saved_at = time.monotonic()

    def load(self) -> bytes:
        """The checkpoint as bytes that `Snapshot.from_bytes` reads, or none; a damaged one is set aside."""
        try:
            stored = self._path.read_bytes()
            Snapshot.from_bytes(stored)
        except FileNotFoundError:
            return b""
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            self._set_aside(error)
            return b""
        finally:
            self._remove_oldest()
        return stored

    def remove(self) -> None:
        """Ends the checkpoint of a training whose results are written."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._warn(f"warning: {self._path} cannot be removed: {error.strerror}")

    def _set_aside(self, error: Exception) -> None:
        aside = self._path.with_suffix(".damaged")
        try:
            self._path.replace(aside)
        except OSError as reason:
            self._warn(f"warning: {self._path} cannot be read ({error}) nor moved ({reason}): training begins anew")
        else:
            self._warn(f"warning: a checkpoint is damaged ({error}), now {aside}: training begins anew")

    def _remove_oldest(self) -> None:
        try:
            others = [path for path in self._path.parent.glob("*") if path != self._path]
            for path in sorted(others, key=lambda path: path.stat().st_mtime)[:-KEPT]:
                path.unlink()
        except OSError:
            return  # another training was faster, or the next one does it
