"""Gives each model of `params.yaml` its plots and its artifact in `dvc.yaml`, for which DVC has no matrix."""

import re
from collections.abc import Callable
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_regular, write_text
from mnist_pipeline.params import Params


def run(params: Params) -> None:
    """Add to `dvc.yaml` what is there for the first model and not for another; all else stays as it is."""
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        text = read_regular(paths.PIPELINE).decode()
        content = yaml.load(text)
        plots, artifacts = content["plots"], content["artifacts"]
        first = next(model for model in artifacts if f"reports/train/{model}/history.csv" in text)
    except (OSError, YAMLError, KeyError, TypeError, StopIteration, UnicodeDecodeError) as error:
        raise PipelineError(
            f"{paths.PIPELINE}: no plots and artifact of a model to copy ({one_line(error)}): restore it from git"
        ) from error
    word = re.compile(rf"(?<![\w-]){re.escape(first)}(?![\w-])")
    added = [model for model in params.models if model not in artifacts]
    for model in added:

        def renamed(entry: Any, model: str = model) -> Any:
            return yaml.load(word.sub(model, _text(yaml, entry)))

        for section in (plots, artifacts):
            _add(section, word, renamed)
        artifacts[model]["desc"] = f"{model} as ONNX; raw pixels in, logits and probabilities out"
    if added:
        write_text(paths.PIPELINE, _text(yaml, content))
    console.info(f"{paths.PIPELINE}: plots and artifacts of {', '.join(added) or 'no further model'} added")


def _add(section: Any, word: re.Pattern[str], renamed: Callable[[Any], Any]) -> None:
    """Copies each entry that is named after the first model: a plot, or a line of one that shows all models."""
    for entry in list(section if isinstance(section, list | dict) else []):
        if not any(map(word.search, [entry] if isinstance(entry, str) else entry)):
            _add(section[entry] if isinstance(section, dict) else entry, word, renamed)
        elif isinstance(section, dict):
            section[renamed(entry)] = renamed(section[entry])
        else:
            section.insert(section.index(entry) + 1, renamed(entry))


def _text(yaml: YAML, content: Any) -> str:
    stream = StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()
