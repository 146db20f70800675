"""Other values of some parameters, for a training or in the file."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_text
from mnist_pipeline.params import Params, checked


def with_training(params: Params, model: str, changes: Mapping[str, Any], source: Path = paths.PARAMS) -> Params:
    """The same parameters, with other values of some keys of `train.<model>`, whose parts are joined by points.

    A `PipelineError` names an unknown key or a bad value, and `source`, the file that has it.
    """
    content = params.model_dump(by_alias=True)
    _set(content, f"train.{model}", changes, source)
    return checked(Params, content, source)


def write_values(section: str, values: Mapping[str, Any], path: Path = paths.PARAMS) -> None:
    """Write other numbers or words for some keys of a section such as `train.lenet`, and leave all else as it is."""
    file = YAML()
    file.preserve_quotes = True
    file.width = 1000
    content = file.load(path.read_text(encoding="utf-8"))
    _set(content, section, values, path)
    text = StringIO()
    file.dump(content, text)
    checked(Params, YAML(typ="safe").load(text.getvalue()), path)
    write_text(path, text.getvalue())


def _set(content: Any, section: str, values: Mapping[str, Any], source: Path) -> None:
    for key, value in values.items():
        found, (*parents, leaf) = content, f"{section}.{key}".split(".")
        for parent in parents:
            found = found.get(parent) if isinstance(found, dict) else None
        if not isinstance(found, dict) or leaf not in found:
            raise PipelineError(
                f"{source}: {section}.{key} is not a known key (docs/reference/parameters.md lists all)"
            )
        found[leaf] = value
