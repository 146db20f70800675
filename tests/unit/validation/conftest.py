"""Images to validate, and the parameters and the suite to validate them by."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mnist_pipeline.data.dataset import SPLIT_FILES, Split, SplitName, load_split
from mnist_pipeline.params import Params, load_params
from mnist_pipeline.validation.expectations import Failure, check
from mnist_pipeline.validation.statistics import image_tables, whole_set_facts
from mnist_pipeline.validation.suite import Suite, load_suite

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def params() -> Params:
    """The repository's own parameters, for the user's own IDX files."""
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(update={"data": params.data.model_copy(update={"dataset": "idx"})})


@pytest.fixture(scope="session")
def suite() -> Suite:
    return load_suite(ROOT / "suites/idx.yaml")


@pytest.fixture(scope="session")
def splits(tiny_data: Path) -> dict[SplitName, Split]:
    return {name: load_split(tiny_data, name) for name in SPLIT_FILES}


@pytest.fixture(scope="session")
def failures_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Mapping[SplitName, Split], Suite], list[Failure]]:
    """Check splits against a suite."""

    def failures_of(splits: Mapping[SplitName, Split], suite: Suite) -> list[Failure]:
        tables = image_tables(splits)
        return check(tables, whole_set_facts(splits, tables), suite, tmp_path_factory.mktemp("data_docs"))[1]

    return failures_of
