"""`params.yaml` as strict, frozen models: an unknown key or a wrong value ends a stage before it starts.

`docs/parameters.md` says what each key means.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_pipeline import paths
from mnist_pipeline.data.catalog import DatasetName
from mnist_pipeline.errors import PipelineError

Device = Literal["auto", "cpu", "cuda", "mps"]
ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


Share = Annotated[float, Field(ge=0, le=1)]


def _ordered(bounds: list[float]) -> list[float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{bounds} runs from more to less; expected [least, most]")
    return bounds


Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
"""The least and the most that is allowed."""


class Section(BaseModel):
    """A part of `params.yaml`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Section):
    dataset: DatasetName
    source: Annotated[str, Field(min_length=1)]
    mirrors: list[Annotated[str, Field(pattern=r"^https?://")]]
    timeout_seconds: Annotated[float, Field(gt=0, le=600)]
    retries: Annotated[int, Field(ge=0, le=10)]


class Suite(Section):
    """What the gate asks of one data set; a share is of the images of a split."""

    classes: Annotated[int, Field(ge=2, le=256)]
    train_counts: list[Annotated[int, Field(ge=0)]] | None
    test_counts: list[Annotated[int, Field(ge=0)]] | None
    train_min_per_class: Annotated[int, Field(ge=0)]
    test_min_per_class: Annotated[int, Field(ge=0)]
    max_class_ratio: Annotated[float, Field(ge=1)]
    pixel_mean: Range
    pixel_std: Range
    brightest: Range
    min_sharpness: Annotated[float, Field(ge=0, le=255)]
    roughness: Range
    grey_levels: Range
    few_grey_levels: Range
    ink_fraction: Range
    box_side: Range
    box_aspect: Range
    max_centre_distance: Annotated[float, Field(gt=0)]
    max_outlier_share: Share
    max_blank_share: Share
    max_duplicate_share: Share
    max_contradicted_share: Share
    min_agreement: Share
    min_centroid_accuracy: Share

    @model_validator(mode="after")
    def _a_count_for_each_class(self) -> "Suite":
        for name in ("train_counts", "test_counts"):
            counts = getattr(self, name)
            if counts is not None and len(counts) != self.classes:
                raise ValueError(f"{name} has {len(counts)} numbers, expected one for each of {self.classes} classes")
        return self


class Validate(Section):
    suite: Literal["auto", "mnist", "fashion-mnist", "kmnist", "idx"]
    suites: dict[DatasetName, Suite]

    def chosen(self, dataset: DatasetName) -> tuple[DatasetName, Suite]:
        """The suite that judges a data set, and its name.

        Raises:
            PipelineError: `suites` has none of that name.
        """
        name = dataset if self.suite == "auto" else self.suite
        if name not in self.suites:
            raise PipelineError(f"{paths.PARAMS}: validate.suites has no section {name}, which validate.suite asks for")
        return name, self.suites[name]


class Augmentation(Section):
    """How far each training image is distorted at random."""

    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    shear: Annotated[float, Field(ge=0, lt=90)]
    translation: Annotated[float, Field(ge=0, le=14)]
    elastic: Annotated[float, Field(ge=0, le=14)]
    final_strength: Share


class Training(Section):
    """How one model is built and trained."""

    architecture: dict[str, Any]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1)]
    precision: Literal["auto", "float32", "bfloat16"]
    optimizer: Literal["adamw", "sgd"]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["constant", "cosine", "linear"]
    warmup_epochs: Annotated[int, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    augmentation: Augmentation

    @model_validator(mode="after")
    def _warmup_ends(self) -> "Training":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must be less than epochs {self.epochs}")
        return self


class Train(Section):
    """Settings that all models share, and a section named after each model."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Training]

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    device: Device
    processes: Annotated[int, Field(ge=1, le=1024)]
    validation_size: Annotated[int, Field(ge=1)]


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


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, not {value!r}")
    return value


def _number_or_word(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise ValueError(f"expected a number or a word, not {value!r}")
    return value if isinstance(value, str) else _number(value)


Number = Annotated[int | float, PlainValidator(_number)]


class Interval(Section):
    """Values from `low` to `high`, whole numbers where both are; with `log`, as many below the geometric mean."""

    low: Number
    high: Number
    log: bool

    @model_validator(mode="after")
    def _is_an_interval(self) -> "Interval":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be less than high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"with log: true, low {self.low} must be more than 0")
        return self


class Choices(Section):
    choices: Annotated[list[Annotated[str | int | float, PlainValidator(_number_or_word)]], Field(min_length=2)]


def _kind(values: Any) -> str:
    choices = isinstance(values, Choices) or (isinstance(values, dict) and "choices" in values)
    return "[choices]" if choices else "[interval]"


Searched = Annotated[
    Annotated[Interval, Tag("[interval]")] | Annotated[Choices, Tag("[choices]")], Discriminator(_kind)
]


class Sweep(Section):
    """How values are searched, and under each model's name which: `train.<model>`'s keys, joined by points."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[dict[str, Searched], Field(min_length=1)]]

    random_trials: Annotated[int, Field(ge=1)]
    unpruned_epochs: Annotated[int, Field(ge=1)]

    def space(self, model: str) -> dict[str, Interval | Choices]:
        """What is searched for a model.

        Raises:
            PipelineError: `sweep` has no section for it.
        """
        spaces = self.model_extra or {}
        if model not in spaces:
            raise PipelineError(f"{paths.PARAMS}: sweep has no section {model}: say there which keys to search")
        return dict(spaces[model])


class Tracking(Section):
    experiment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
    strict: bool
    patience_seconds: Annotated[float, Field(gt=0, le=3600)]
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

    @model_validator(mode="after")
    def _every_sweep_has_its_model(self) -> "Params":
        if unknown := [name for name in self.sweep.model_extra or {} if name not in (self.train.model_extra or {})]:
            raise ValueError(f"sweep.{unknown[0]}: there is no section train.{unknown[0]}")
        return self

    def training(self, model: str) -> Training:
        """The section `train.<model>`.

        Raises:
            PipelineError: there is none.
        """
        sections: dict[str, Training] = self.train.model_extra or {}
        if model not in sections:
            raise PipelineError(f"{model}: no such model in {paths.PARAMS}; expected one of {', '.join(sections)}")
        return sections[model]


def _describe(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith("[")) or "the file"
    if error["type"] == "missing":
        return f"{key} is missing"
    not_keys = error["type"] in ("model_type", "dict_type")
    no_section = not_keys and error["loc"][:-1] in (("train",), ("sweep",))  # they take models of any name
    if error["type"] == "extra_forbidden" or no_section:
        return f"{key} is not a known key"
    if not_keys:
        return f"{key} = {error['input']!r}: expected keys with values"
    shown = "" if error["type"] == "value_error" else f" = {error['input']!r}"
    return f"{key}{shown}: {error['msg'].removeprefix('Value error, ')}"


def load_params(path: Path = paths.PARAMS) -> Params:
    """Reads and checks the parameters.

    Raises:
        PipelineError: the file is missing, is not YAML, or a key is unknown, missing or out of range.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"{path}: {error.strerror}: run this in the root of the repository") from error
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from error
    except YAMLError as error:
        raise PipelineError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return checked(content, path)


def checked(content: Any, path: Path = paths.PARAMS) -> Params:
    """What stands in the file, checked.

    Raises:
        PipelineError: a key is unknown, missing or out of range.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise PipelineError(f"{path}: {problems} (docs/parameters.md lists what is allowed)") from error
