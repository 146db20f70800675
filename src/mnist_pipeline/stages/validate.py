"""Check `data/raw` against its suite; the verdict, on which training depends, is written only where the data pass."""

import shutil
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import SPLITS, Split, SplitName, load_label_names, load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import fresh_folder, write_json, write_table
from mnist_pipeline.formats import directory_digest
from mnist_pipeline.params import Params
from mnist_pipeline.validation.data_docs import DETAILS, write_index, write_page
from mnist_pipeline.validation.expectations import check, class_name
from mnist_pipeline.validation.statistics import Tables, add_pictures, image_tables, statistics, whole_set_facts
from mnist_pipeline.validation.suite import load_suite, suite_path

COLUMNS = ("of", "column", "expected", "observed", "images", "first of them")
SHOWN = 12  # failures at most: where every class has a wrong count, the first are enough


def run(params: Params) -> None:
    """Check the data, log the outcome to MLflow, and write the verdict and the reports where the data pass."""
    from mnist_pipeline.tracking.publish import publish_validation

    path = suite_path(params)
    suite = load_suite(path)
    for report in ("verdict.json", "facts.json", "class_counts.csv", "statistics.csv"):
        (paths.VALIDATION / report).unlink(missing_ok=True)  # what passed before must not stand for what fails now
    shutil.rmtree(paths.DATA_DOCS, ignore_errors=True)
    try:
        splits = {split: load_split(paths.RAW, split) for split in SPLITS}
        tables, facts, names = measure(splits)
    except PipelineError as error:
        if paths.RAW.is_dir():  # without it there are no data to validate
            write_index(paths.DATA_DOCS, reason=str(error))
            publish_validation(params, False, {}, paths.DATA_DOCS)
        raise
    with fresh_folder(paths.DATA_DOCS) as folder:
        expectations, failures = check(tables, facts, suite, names, folder / DETAILS)
        write_page(folder, path.stem, expectations, failures, splits, tables, names)
    if failures:
        publish_validation(params, False, facts, paths.DATA_DOCS)
        rows = []
        for failure in failures[:SHOWN]:
            images = "" if failure.count is None else f"{failure.count:,}"
            first = ", ".join(map(str, failure.files or failure.examples))
            rows.append((failure.table, failure.column, failure.expected, failure.observed, images, first))
        console.table("Data validation failed", COLUMNS, rows)
        if len(failures) > SHOWN:
            console.info(f"and {len(failures) - SHOWN} more")
        raise PipelineError(
            f"{paths.RAW}: {len(failures)} of {expectations} expectations of {path} are not met; "
            f"fix the data, or the suite if it expects too much. Details: {paths.DATA_DOCS}/index.html, "
            "also with the failed run in MLflow (make ui)"
        )
    counts = [(split, label, count) for split in SPLITS for label, count in facts[split]["count"].items()]
    write_table(paths.VALIDATION / "class_counts.csv", pd.DataFrame(counts, columns=["split", "label", "count"]), "%d")
    write_table(paths.VALIDATION / "statistics.csv", statistics(tables).round(4), "%s")
    write_json(paths.VALIDATION / "facts.json", {"suite": path.stem, "expectations": expectations, "facts": facts})
    shapes = {split: list(images.images.shape) for split, images in splits.items()}
    write_json(paths.VERDICT, {"passed": True, "data_md5": directory_digest(paths.RAW), "images": shapes})
    console.info(f"validate: all {expectations} expectations of {path} are met")
    publish_validation(params, True, facts, paths.DATA_DOCS)


def measure(splits: Mapping[SplitName, Split]) -> tuple[Tables, dict[str, Any], list[str]]:
    """The tables and facts of the data in `data/raw`, and the names of their classes; warns of those without a test."""
    tables = image_tables(splits)
    facts = whole_set_facts(splits, tables)
    add_pictures(paths.RAW, tables, facts)
    most = max(int(split.labels.max()) for split in splits.values())
    names = load_label_names(paths.CLASSES, None) or [str(label) for label in range(most + 1)]
    untested = [label for label in range(len(names)) if str(label) not in facts["test"]["count"]]
    if untested:
        first = ", ".join(class_name(label, names) for label in untested[:SHOWN])
        console.warn(
            f"{paths.RAW}: {len(untested)} of {len(names)} classes have no test image, so nothing is known of "
            f"how well they are recognised: {first}{', …' if len(untested) > SHOWN else ''}"
        )
    return tables, facts, names
