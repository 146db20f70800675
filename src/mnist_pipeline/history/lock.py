"""`dvc.lock`: the parameters that each stage ran with, and the MD5 of what it read and wrote."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError


@dataclass(frozen=True)
class LockedStage:
    """One stage as it ran: parameters nested as in `params.yaml`, and the MD5 of each dependency and output."""

    values: Mapping[str, Any]
    dependencies: Mapping[str, str]
    outputs: Mapping[str, str]


Lock = Mapping[str, LockedStage]
"""The stages by name, such as `download` and `train@lenet`."""


class _File(BaseModel):
    path: str
    md5: str


class _Stage(BaseModel):
    params: dict[str, dict[str, Any]] = {}
    deps: list[_File] = []
    outs: list[_File] = []


class _LockFile(BaseModel):
    stages: dict[str, _Stage] = {}


def parse_lock(text: str, name: str) -> Lock:
    """The stages of a lock file; `name` is what an error message calls it.

    Raises:
        PipelineError: it is not a lock file of DVC.
    """
    try:
        stages = _LockFile.model_validate(YAML(typ="safe").load(text) or {}).stages
    except (YAMLError, ValueError, RecursionError) as error:
        raise PipelineError(f"{name}: not a lock file of DVC: restore it with git checkout {paths.LOCK}") from error
    lock = {}
    for stage, entry in stages.items():
        values: dict[str, Any] = {}
        for key, value in entry.params.get(str(paths.PARAMS), {}).items():
            for part in reversed(key.split(".")):  # {"train": {"seed": 1}} of train.seed and 1
                value = {part: value}
            merge(values, value)
        dependencies, outputs = ({file.path: file.md5 for file in files} for files in (entry.deps, entry.outs))
        lock[stage] = LockedStage(values, dependencies, outputs)
    return lock


def upstream(lock: Lock, stage: str) -> list[str]:
    """A stage and all those that it depends on, nearest first."""
    found = [stage]
    for name in found:  # which grows
        for writer, locked in lock.items():
            read = any(
                output == path or output.startswith(f"{path}/")  # a folder may be read, and its files written
                for output in locked.outputs
                for path in lock[name].dependencies
            )
            if read and writer not in found:
                found.append(writer)
    return found


def merge(target: dict[str, Any], added: Mapping[str, Any]) -> None:
    """Add nested values to nested values, which share nothing afterwards."""
    for key, value in added.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = deepcopy(value)
