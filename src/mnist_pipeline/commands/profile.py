"""Write a suite for one's own data: thresholds that trusted data meet."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import SPLIT_FILES, load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_text
from mnist_pipeline.params import Params
from mnist_pipeline.validation.expectations import check
from mnist_pipeline.validation.proposal import propose
from mnist_pipeline.validation.statistics import image_tables, whole_set_facts
from mnist_pipeline.validation.suite import Suite, load_suite, suite_path


def run(params: Params, exact_counts: bool) -> None:
    """Write thresholds that `data/raw` meets into its suite, and print what has changed."""
    path = suite_path(params)
    before = load_suite(path).model_dump() if path.exists() else {}
    if before.get("train_counts") and not exact_counts:
        raise PipelineError(
            f"{path} has the exact counts of each class, which would be lost: give --exact-counts, "
            "or, for data of your own, set data.dataset to idx and validate.suite to auto"
        )
    splits = {split: load_split(paths.RAW, split) for split in SPLIT_FILES}
    tables = image_tables(splits)
    facts = whole_set_facts(splits, tables)
    proposed = propose(tables, facts, exact_counts)
    with TemporaryDirectory() as folder:
        _, failures = check(tables, facts, Suite(**proposed), Path(folder))
    if failures:  # images of another size, or a label beyond the classes
        first = failures[0]
        raise PipelineError(
            f"{paths.RAW}: no suite lets these data pass: {first.table}, {first.column}: expected {first.expected}, "
            f"observed {first.observed}; {path} stays as it is"
        )
    old = path.read_text(encoding="utf-8").splitlines() if before else []
    header = [line for line in old if line.startswith("#")] or [
        f"# What validation expects of {path.stem}; docs/reference/suites.md describes each key."
    ]
    values = [f"{key}: {json.dumps(value)}" for key, value in proposed.items()]  # which is YAML too
    write_text(path, "\n".join([*header, *values, ""]))
    rows = [(key, *("-" if v is None else str(v) for v in (before.get(key), value))) for key, value in proposed.items()]
    console.table(f"{path}, from {paths.RAW}", ("key", "before", "now"), rows)
    console.info(f"{path} expects data like these; next: make repro")
