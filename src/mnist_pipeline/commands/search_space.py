"""`sweeps/<model>.yaml`: which keys of `train.<model>` a search may change, and to what."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, RootModel, Tag, model_validator

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Section, checked, read_yaml


class Interval(Section):
    """Values from `low` to `high`, whole numbers where both are; with `log`, as many below the geometric mean."""

    low: int | float
    high: int | float
    log: bool

    @model_validator(mode="after")
    def _is_an_interval(self) -> "Interval":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be less than high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log: true, low {self.low} must be more than 0")
        return self


class Choices(Section):
    choices: Annotated[list[str | int | float], Field(min_length=2)]


def _kind(values: Any) -> str:
    return "[choices]" if isinstance(values, dict) and "choices" in values else "[interval]"


Searched = Annotated[
    Annotated[Interval, Tag("[interval]")] | Annotated[Choices, Tag("[choices]")], Discriminator(_kind)
]


class SearchSpace(RootModel[Annotated[dict[str, Searched], Field(min_length=1)]]):
    """The keys of `train.<model>`, their parts joined by points, and the values to try."""


def space_path(model: str) -> Path:
    return paths.SWEEPS / f"{model}.yaml"


def load_search_space(model: str) -> dict[str, Interval | Choices]:
    """What is searched for a model; a `PipelineError` where its file is missing or wrong."""
    path = space_path(model)
    if not path.exists():
        raise PipelineError(f"{path}: missing: say there which keys of train.{model} to search")
    return checked(SearchSpace, read_yaml(path), path).root
