"""`dvc.lock`: the parameters that each stage ran with, and the MD5 of what it read and wrote."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError


def _nested(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`{"train": {"seed": 1}}` of `train.seed: 1`."""
    values: dict[str, Any] = {}
    for key, value in files.get(str(paths.PARAMS), {}).items():
        for part in reversed(key.split(".")):
            value = {part: value}
        merge(values, value)
    return values


def _digests(files: list[dict[str, str]]) -> dict[str, str]:
    return {file["path"]: file["md5"] for file in files}


class LockedStage(BaseModel, frozen=True):
    """One stage as it ran: parameters nested as in `params.yaml`, and the MD5 of each dependency and output."""

    values: Annotated[dict[str, Any], BeforeValidator(_nested), Field(alias="params")] = {}
    dependencies: Annotated[dict[str, str], BeforeValidator(_digests), Field(alias="deps")] = {}
    outputs: Annotated[dict[str, str], BeforeValidator(_digests), Field(alias="outs")] = {}


Lock = Mapping[str, LockedStage]
"""The stages by name, such as `download` and `train@lenet`."""


def parse_lock(text: str, name: str) -> Lock:
    """The stages of a lock file; a `PipelineError` that calls it `name` where it is not one of DVC."""
    try:
        content = YAML(typ="safe").load(text) or {}
        return {stage: LockedStage.model_validate(entry) for stage, entry in content.get("stages", {}).items()}
    except (YAMLError, ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise PipelineError(f"{name}: not a lock file of DVC: restore it with git checkout {paths.LOCK}") from error


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


def parameters(stages: Iterable[LockedStage]) -> dict[str, Any]:
    """What some stages ran with, nested as in `params.yaml`; where two differ, the later."""
    values: dict[str, Any] = {}
    for stage in stages:
        merge(values, stage.values)
    return values


def merge(target: dict[str, Any], added: Mapping[str, Any]) -> None:
    """Add nested values to nested values, which share nothing afterwards."""
    for key, value in added.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = deepcopy(value)
