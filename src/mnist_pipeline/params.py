"""`params.yaml` as strict, frozen models: an unknown key or a wrong value ends a stage before it starts.

`docs/reference/parameters.md` describes each key; what is wrong in a file is a `PipelineError` that names it. Nothing
here has a default or converts a value, so the values that DVC tracks decide everything, and no stage depends on this
module.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_pipeline import paths
from mnist_pipeline.data.catalog import DATASETS
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_file

LARGEST = 10**6  # bytes of a YAML file that a person writes
Checked = TypeVar("Checked", bound=BaseModel)
Device = Literal["auto", "cpu", "cuda", "mps"]
ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=4096)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """A part of `params.yaml`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Image(Section):
    """How a picture becomes an image."""

    preparation: Literal["mnist", "resize"]
    height: Side
    width: Side
    channels: Literal[1, 3, 4]
    fit: Literal["contain", "cover", "stretch"]
    background: Annotated[str, Field(pattern=r"^([a-z]+|#[0-9a-fA-F]{6})$")]


class TestSet(Section):
    """Which pictures of a folder are for testing, where it does not say so."""

    share: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed
    groups: Annotated[str, Field(pattern=r"^[^/\\]+$")]  # within the folder, which DVC watches


class Data(Section):
    dataset: Annotated[str, Field(pattern=f"^({'|'.join(DATASETS)})$")]
    source: Annotated[str, Field(min_length=1)]
    folder: Annotated[str, Field(min_length=1)]
    label_names: list[Annotated[str, Field(min_length=1)]]
    image: Image
    test: TestSet
    mirrors: list[Annotated[str, Field(pattern=r"^https?://")]]
    timeout_seconds: Annotated[float, Field(gt=0, le=600)]
    retries: Annotated[int, Field(ge=0, le=10)]


class Validate(Section):
    suite: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class Augmentation(Section):
    """How far each training image is distorted at random."""

    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    shear: Annotated[float, Field(ge=0, lt=90)]
    translation: Annotated[float, Field(ge=0, le=1000)]
    elastic: Annotated[float, Field(ge=0, le=1000)]
    outside: Literal["black", "edge"]
    horizontal_flip: Share
    final_strength: Share


class Training(Section):
    """How one model is built and trained."""

    architecture: dict[str, Any]
    init: Annotated[str, Field(pattern=r"^[^/\\]+$")]  # within init/, which DVC watches
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=10**6)]
    precision: Literal["auto", "float32", "bfloat16"]
    optimizer: Literal["adamw", "sgd"]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["constant", "cosine", "linear"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    augmentation: Augmentation


class Train(Section):
    """Settings that all models share, and a section named after each model."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Training]

    seed: Seed
    device: Device
    processes: Annotated[int, Field(ge=1, le=1024)]
    validation_share: Annotated[float, Field(gt=0, lt=1)]
    checkpoint_steps: Annotated[int, Field(ge=0, le=10**9)]


class Evaluate(Section):
    device: Device
    confidence: Annotated[float, Field(gt=0, lt=1)]
    calibration_bins: Annotated[int, Field(ge=2, le=1000)]
    mistakes: Annotated[int, Field(ge=1, le=400)]


class Compare(Section):
    significance: Annotated[float, Field(gt=0, lt=1)]
    mistakes: Annotated[int, Field(ge=1, le=400)]


class Export(Section):
    max_logit_difference: Annotated[float, Field(gt=0)]
    calibration_images: Annotated[int, Field(ge=1)]
    significance: Annotated[float, Field(gt=0, lt=1)]
    latency_repeats: Annotated[int, Field(ge=1, le=100_000)]


class Card(Section):
    """What people say of the models, which no report can."""

    intended_use: Annotated[str, Field(min_length=1)]
    out_of_scope: Annotated[str, Field(min_length=1)]


class Promote(Section):
    """What makes a model too bad to follow the champion."""

    significance: Annotated[float, Field(gt=0, lt=1)]
    max_class_drop: Share


class Sweep(Section):
    """How values are searched; `sweeps/<model>.yaml` lists which."""

    random_trials: Annotated[int, Field(ge=1)]
    unpruned_epochs: Annotated[int, Field(ge=1)]


class Tracking(Section):
    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
    strict: bool
    time_budget_seconds: Annotated[float, Field(gt=0, le=3600)]
    promote: Promote


class Params(Section):
    """The whole of `params.yaml`."""

    data: Data
    validate_: Annotated[Validate, Field(alias="validate")]
    models: Annotated[list[ModelName], Field(min_length=1)]
    train: Train
    evaluate: Evaluate
    compare: Compare
    export: Export
    card: Card
    sweep: Sweep
    tracking: Tracking

    @model_validator(mode="after")
    def _every_model_has_a_section(self) -> "Params":
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models = {self.models}: a model stands there twice")
        if missing := [name for name in self.models if name not in (self.train.model_extra or {})]:
            raise ValueError(f"models names {missing[0]!r}, which has no section train.{missing[0]}")
        return self

    def training(self, model: str) -> Training:
        """The section `train.<model>`."""
        sections: dict[str, Training] = self.train.model_extra or {}
        if model not in sections:
            raise PipelineError(f"{model}: no such model in {paths.PARAMS}; expected one of {', '.join(sections)}")
        return sections[model]


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and check the parameters."""
    return checked(Params, read_yaml(path), path)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, unchecked."""
    content = read_file(path, "run this in the root of the repository", LARGEST)
    try:
        return YAML(typ="safe").load(content.decode())
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from error
    except (YAMLError, ValueError, RecursionError) as error:  # a number of 5,000 digits, 3,000 nested maps
        raise PipelineError(f"{path}: not valid YAML: {one_line(error)}") from error


def checked(schema: type[Checked], content: Any, path: Path) -> Checked:
    """What stands in a file, checked."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(one_line(_describe(problem)) for problem in error.errors())
        raise PipelineError(f"{path}: {problems} (docs/reference/parameters.md lists what is allowed)") from error


def _describe(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith("[")) or "the file"
    if error["type"] == "missing":
        return f"{key} is missing"
    not_keys = error["type"] in ("model_type", "dict_type")
    no_section = not_keys and error["loc"][:-1] == ("train",)  # it takes models of any name
    if error["type"] == "extra_forbidden" or no_section:
        return f"{key} is not a known key"
    shown = repr(error["input"])
    if not_keys:
        return f"{key} = {shown}: expected keys with values"
    shown = "" if error["type"] == "value_error" else f" = {shown}"
    return f"{key}{shown}: {error['msg'].removeprefix('Value error, ')}"
