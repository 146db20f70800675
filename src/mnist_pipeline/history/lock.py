"""`dvc.lock`: the parameters that each stage ran with, and the MD5 of what it read and wrote."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

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


def parse_lock(text: str, name: str) -> Lock:
    """The stages of a lock file; `name` is what an error message calls it.

    Raises:
        PipelineError: it is not a lock file of DVC.
    """
    try:
        stages = (YAML(typ="safe").load(text) or {}).get("stages", {})
        return {stage: _locked(entry) for stage, entry in stages.items()}
    except (YAMLError, AttributeError, KeyError, TypeError) as error:
        raise PipelineError(f"{name}: not a lock file of DVC: restore it with git checkout {paths.LOCK}") from error


def _locked(entry: Mapping[str, Any]) -> LockedStage:
    values: dict[str, Any] = {}
    for key, value in entry.get("params", {}).get(str(paths.PARAMS), {}).items():
        merge(values, _nested(key, value))
    files = {kind: {file["path"]: file["md5"] for file in entry.get(kind, ())} for kind in ("deps", "outs")}
    return LockedStage(values, files["deps"], files["outs"])


def _nested(key: str, value: Any) -> dict[str, Any]:
    """`{"train": {"seed": 1}}` of `train.seed` and 1."""
    first, _, rest = key.partition(".")
    return {first: _nested(rest, value) if rest else value}


def merge(target: dict[str, Any], added: Mapping[str, Any]) -> None:
    """Adds nested values to nested values, which share nothing afterwards."""
    for key, value in added.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = deepcopy(value)
