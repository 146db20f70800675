"""`suites/<name>.yaml`: what validation expects of a data set."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Params, Section, Share, checked, read_yaml


def _ordered(bounds: list[float]) -> list[float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{bounds} runs from more to less; expected [least, most]")
    return bounds


Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
"""The least and the most that is allowed."""
Count = Annotated[int, Field(ge=0)]


class Suite(Section):
    """What is expected of one data set; a share is of the images of a split."""

    classes: Annotated[int, Field(ge=2, le=256)]
    train_counts: list[Count] | None
    test_counts: list[Count] | None
    train_min_per_class: Count
    test_min_per_class: Count
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
        for name, counts in (("train_counts", self.train_counts), ("test_counts", self.test_counts)):
            if counts is not None and len(counts) != self.classes:
                raise ValueError(f"{name} has {len(counts)} numbers, expected one for each of {self.classes} classes")
        return self


def suite_path(params: Params) -> Path:
    """The file of the suite that `validate.suite` names; `auto` is that of the data set."""
    name = params.data.dataset if params.validate_.suite == "auto" else params.validate_.suite
    return paths.SUITES / f"{name}.yaml"


def load_suite(path: Path) -> Suite:
    if not path.exists():
        raise PipelineError(f"{path}: missing: validate.suite names it; mnist-pipeline profile writes one")
    return checked(Suite, read_yaml(path), path)
