"""Gives each model of `params.yaml` its plots and its artifact in `dvc.yaml`, for which DVC has no matrix."""

from copy import deepcopy
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_regular, write_text
from mnist_pipeline.params import Params


def run(params: Params) -> None:
    """Adds to `dvc.yaml` what is there for the first model and not for another; all else stays as it is.

    Raises:
        PipelineError: the file cannot be read, or has no plots and artifact of a model to copy.
    """
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        content = yaml.load(read_regular(paths.PIPELINE).decode())
        plots, artifacts = content["plots"], content["artifacts"]
        first = next(model for model in artifacts if f"reports/train/{model}/history.csv" in _paths(plots))
    except (OSError, YAMLError, KeyError, TypeError, StopIteration, UnicodeDecodeError) as error:
        raise PipelineError(
            f"{paths.PIPELINE}: no plots and artifact of a model to copy ({one_line(error)}): restore it from git"
        ) from error
    added = [model for model in params.models if model not in artifacts]
    for model in added:
        for plot in list(plots):
            _add(plots, plot, first, model)
        artifacts[model] = deepcopy(artifacts[first])
        artifacts[model].update(
            path=str(paths.onnx(model)),
            desc=f"{model} as ONNX; raw pixels in, logits and probabilities out",
            labels=deepcopy(artifacts[first]["labels"]),
        )
        artifacts[model]["labels"][-1] = model
    if added:
        text = StringIO()
        yaml.dump(content, text)
        write_text(paths.PIPELINE, text.getvalue())
    console.info(f"{paths.PIPELINE}: plots and artifacts of {', '.join(added) or 'no further model'} added")


def _add(plots: list[Any], plot: Any, first: str, model: str) -> None:
    """Copies for `model` what a plot has of the first model: a whole plot, or a line of one that shows all models."""
    if isinstance(plot, str):
        if f"/{first}/" in plot:
            plots.insert(plots.index(plot) + 1, plot.replace(f"/{first}/", f"/{model}/"))
        return
    ((title, settings),) = plot.items()
    lines = {path: y for path, y in settings["y"].items() if first in path.replace(".", "/").split("/")}
    renamed = {_renamed(path, first, model): deepcopy(y) for path, y in lines.items()}
    if first in title.split():
        copied = deepcopy(settings)
        copied["y"] = renamed
        plots.insert(plots.index(plot) + 1, {title.replace(first, model): copied})
    else:
        settings["y"].update(renamed)


def _renamed(path: str, first: str, model: str) -> str:
    return path.replace(f"/{first}/", f"/{model}/").replace(f"/{first}.", f"/{model}.")


def _paths(plots: list[Any]) -> set[str]:
    found = [list(settings["y"]) for plot in plots if not isinstance(plot, str) for settings in plot.values()]
    return {path for paths_of_plot in found for path in paths_of_plot}
