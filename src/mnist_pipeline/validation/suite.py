"""`suites/<name>.yaml`: what validation expects of a data set."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import MOST_CLASSES
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
    """What is expected of one data set; a share is of the images of a split. What is None is not expected."""

    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)] | None = None
    image_shape: Annotated[list[Count], Field(min_length=3, max_length=3)] | None = None
    train_counts: list[Count] | None = None
    test_counts: list[Count] | None = None
    train_min_per_class: Count | None = None
    test_min_per_class: Count | None = None
    without_test_images: list[Count] | None = None
    max_class_ratio: Annotated[float, Field(ge=1)] | None = None
    pixel_mean: Range | None = None
    pixel_std: Range | None = None
    colour_balance: Annotated[list[Range], Field(min_length=1, max_length=4)] | None = None
    brightness: Range | None = None
    contrast: Range | None = None
    brightest: Range | None = None
    min_sharpness: Annotated[float, Field(ge=0, le=255)] | None = None
    roughness: Range | None = None
    grey_levels: Range | None = None
    few_grey_levels: Range | None = None
    ink_fraction: Range | None = None
    box_side: Range | None = None
    box_aspect: Range | None = None
    max_centre_distance: Annotated[float, Field(gt=0)] | None = None
    max_outlier_share: Share
    max_blank_share: Share
    max_duplicate_share: Share
    max_contradicted_share: Share
    max_unreadable_share: Share | None = None
    min_agreement: Share | None = None
    min_centroid_accuracy: Share | None = None

    @model_validator(mode="after")
    def _a_count_for_each_class(self) -> "Suite":
        for name, counts in (("train_counts", self.train_counts), ("test_counts", self.test_counts)):
            if counts is not None and len(counts) != self.classes:
                raise ValueError(
                    f"{name} has {len(counts)} numbers, expected one for each class (classes = {self.classes})"
                )
        return self


def suite_path(params: Params) -> Path:
    """The file of the suite that `validate.suite` names; `auto` is that of the data set, or else of any pictures."""
    own = own_suite_path(params)
    return own if own.exists() or params.validate_.suite != "auto" else paths.SUITES / "any.yaml"


def own_suite_path(params: Params) -> Path:
    """The file of the suite that is named, or that `auto` takes where it exists."""
    name = params.data.dataset if params.validate_.suite == "auto" else params.validate_.suite
    return paths.SUITES / f"{name}.yaml"


def load_suite(path: Path) -> Suite:
    if not path.exists():
        raise PipelineError(f"{path}: missing: validate.suite names it; mnist-pipeline profile writes one")
    return checked(Suite, read_yaml(path), path)
