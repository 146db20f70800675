"""A gate for one's own data, in one command: thresholds that data which are trusted meet."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import SPLIT_FILES, load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Params, Suite
from mnist_pipeline.tasks.changes import write_values
from mnist_pipeline.validation.expectations import judge
from mnist_pipeline.validation.profile import Tables, image_tables, whole_set_facts
from mnist_pipeline.validation.proposal import propose


def run(params: Params, exact_counts: bool) -> None:
    """Writes what `data/raw` allows into the suite that judges it, and tells what has changed.

    Raises:
        PipelineError: the suite asks for exact counts and would not any more, the data cannot be read, no suite would
            let them pass, or the file cannot be written.
    """
    name, suite = params.validate_.chosen(params.data.dataset)
    if suite.train_counts and not exact_counts:
        raise PipelineError(
            f"validate.suites.{name} asks for exact counts of each class, which would be lost: give --exact-counts, "
            "or, for data of your own, set data.dataset to idx and validate.suite to auto"
        )
    splits = {split: load_split(paths.RAW, split) for split in SPLIT_FILES}
    tables = image_tables(splits)
    facts = whole_set_facts(splits, tables)
    proposed = propose(tables, facts, exact_counts)
    _demand_passing(tables, facts, Suite(**proposed))
    write_values(f"validate.suites.{name}", proposed)
    rows = [(key, _told(getattr(suite, key)), _told(value)) for key, value in proposed.items()]
    console.table(f"The suite {name}, from {paths.RAW}", ("key", "before", "now"), rows)
    console.say(f"{paths.PARAMS}: validate.suites.{name} asks for data like these; next: make repro")


def _demand_passing(tables: Tables, facts: Mapping[str, Any], suite: Suite) -> None:
    """Images of another size, or a class without images, no suite allows."""
    with TemporaryDirectory() as folder:
        failures = judge(tables, facts, suite, Path(folder)).failures
    if failures:
        first = failures[0]
        raise PipelineError(
            f"{paths.RAW}: no suite lets these data pass: {first.table}, {first.column}: expected {first.expected}, "
            f"observed {first.observed}; {paths.PARAMS} stays as it is"
        )


def _told(value: Any) -> str:
    return "not asked" if value is None else str(value)
