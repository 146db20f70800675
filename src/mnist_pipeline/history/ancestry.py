"""Where an artifact comes from, by the hashes of `dvc.lock`: the commits that record it and the stages that made it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mnist_pipeline.history.lock import Lock, merge
from mnist_pipeline.history.revisions import Revision


@dataclass(frozen=True)
class Record:
    """An output of a stage as one revision records it."""

    revision: Revision
    stage: str
    path: str
    md5: str

    @property
    def stages(self) -> list[str]:
        """The stage that wrote it and all those that it depends on, nearest first."""
        return list(_upstream(self.revision.lock, self.stage))

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of these stages, nested as in `params.yaml`."""
        values: dict[str, Any] = {}
        for stage in reversed(self.stages):
            merge(values, self.revision.lock[stage].values)
        return values

    def output(self, path: str) -> str | None:
        """The MD5 of a file or folder that these stages wrote."""
        outputs: dict[str, str] = {}
        for stage in self.stages:
            outputs |= self.revision.lock[stage].outputs
        return outputs.get(path)


def records(revision: Revision) -> Iterator[Record]:
    """Every output that a revision records."""
    for stage, locked in revision.lock.items():
        for path, md5 in locked.outputs.items():
            yield Record(revision, stage, path, md5)


def records_of(md5: str, revisions: Iterable[Revision]) -> list[Record]:
    """The outputs that have these bytes, in the order of the revisions."""
    return [record for revision in revisions for record in records(revision) if record.md5 == md5]


def _upstream(lock: Lock, stage: str) -> Iterator[str]:
    writers = {path: name for name, locked in lock.items() for path in locked.outputs}
    waiting, seen = [stage], {stage}
    while waiting:
        name = waiting.pop(0)
        yield name
        for output, writer in writers.items():
            if writer not in seen and any(_is_in(output, path) for path in lock[name].dependencies):
                seen.add(writer)
                waiting.append(writer)


def _is_in(output: str, dependency: str) -> bool:
    """Whether a stage that reads the dependency reads the output: it is that, or in that folder."""
    return output == dependency or output.startswith(f"{dependency}/")
