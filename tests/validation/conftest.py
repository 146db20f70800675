"""Images to judge, the parameters to judge them by, and the judgement."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mnist_pipeline.data.dataset import SPLIT_FILES, Split, SplitName, load_split
from mnist_pipeline.params import Params, Suite, load_params
from mnist_pipeline.validation.expectations import Judgement, judge
from mnist_pipeline.validation.profile import image_tables, whole_set_facts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def params() -> Params:
    """The repository's own parameters, for four IDX files of anyone's."""
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(update={"data": params.data.model_copy(update={"dataset": "idx"})})


@pytest.fixture(scope="session")
def suite(params: Params) -> Suite:
    return params.validate_.suites["idx"]


@pytest.fixture(scope="session")
def splits(tiny_data: Path) -> dict[SplitName, Split]:
    return {name: load_split(tiny_data, name) for name in SPLIT_FILES}


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Judgement]:
    """Judges splits by a suite; Data Docs go into a folder of their own unless one is named."""

    def judged(splits: Mapping[SplitName, Split], suite: Suite, data_docs: Path | None = None) -> Judgement:
        tables = image_tables(splits)
        facts = whole_set_facts(splits, tables)
        return judge(tables, facts, suite, data_docs or tmp_path_factory.mktemp("data_docs"))

    return judged
