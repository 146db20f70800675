"""The gate: writes its metrics, on which training depends, only when the data pass."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import SPLIT_FILES, load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_json, write_text
from mnist_pipeline.params import Params
from mnist_pipeline.validation.data_docs import DETAILS, write_page, write_reason
from mnist_pipeline.validation.expectations import Failure, judge
from mnist_pipeline.validation.profile import image_tables, statistics, whole_set_facts

METRICS = paths.VALIDATION / "metrics.json"
CLASS_COUNTS = paths.VALIDATION / "class_counts.csv"
STATISTICS = paths.VALIDATION / "statistics.csv"
COLUMNS = ("of", "column", "expected", "observed", "images", "first of them")
SHOWN = 12
"""Rows of the table of failures: where every class has a wrong count, the first tell enough."""


def run(params: Params) -> None:
    """Judges `data/raw` by the chosen suite, publishes the judgement, and writes the reports when it is good.

    Raises:
        PipelineError: an expectation is not met, or a file cannot be read.
    """
    from mnist_pipeline.tracking.publish import publish_validation

    name, suite = params.validate_.chosen(params.data.dataset)
    for report in (METRICS, CLASS_COUNTS, STATISTICS):
        report.unlink(missing_ok=True)  # no refused data may be taken for those that passed before
    shutil.rmtree(paths.DATA_DOCS, ignore_errors=True)
    try:
        splits = {split: load_split(paths.RAW, split) for split in SPLIT_FILES}
    except PipelineError as error:
        if paths.RAW.is_dir():  # without it there are no data to judge
            write_reason(paths.DATA_DOCS, str(error))
            publish_validation(params, False, {}, paths.DATA_DOCS)
        raise
    tables = image_tables(splits)
    facts = whole_set_facts(splits, tables)
    judgement = judge(tables, facts, suite, paths.DATA_DOCS / DETAILS)
    write_page(paths.DATA_DOCS, name, judgement, splits, tables)
    passed = not judgement.failures
    publish_validation(params, passed, facts, paths.DATA_DOCS)
    if not passed:
        _show(judgement.failures)
        raise PipelineError(
            f"{paths.RAW}: {len(judgement.failures)} of {judgement.expectations} expectations of "
            f"validate.suites.{name} are not met; mend the data, or the suite if it asks too much. "
            f"Details: {paths.DATA_DOCS}/index.html, also with the failed run in MLflow (make ui)"
        )
    write_json(METRICS, {"passed": True, "suite": name, "expectations": judgement.expectations, "facts": facts})
    _write_table(CLASS_COUNTS, _class_counts(facts))
    _write_table(STATISTICS, statistics(tables).round(4))
    console.say(f"validate: all {judgement.expectations} expectations of the suite {name} are met")


def _show(failures: Sequence[Failure]) -> None:
    console.table("The gate refuses the data", COLUMNS, [_row(failure) for failure in failures[:SHOWN]])
    if len(failures) > SHOWN:
        console.say(f"and {len(failures) - SHOWN} more")


def _row(failure: Failure) -> tuple[str, ...]:
    rows = "" if failure.rows is None else f"{failure.rows:,}"
    return (
        failure.table,
        failure.column,
        failure.expected,
        failure.observed,
        rows,
        ", ".join(map(str, failure.examples)),
    )


def _class_counts(facts: Mapping[str, Any]) -> pd.DataFrame:
    rows = [(split, label, count) for split in SPLIT_FILES for label, count in facts[split]["count"].items()]
    return pd.DataFrame(rows, columns=["split", "label", "count"])


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
