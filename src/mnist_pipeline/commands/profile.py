"""Write a suite for one's own data: thresholds that trusted data meet."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill, shorten

from mnist_pipeline import console, paths
from mnist_pipeline.data.catalog import of_strokes
from mnist_pipeline.data.dataset import SPLITS, load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_text
from mnist_pipeline.params import Params
from mnist_pipeline.stages.validate import measure
from mnist_pipeline.validation.expectations import check
from mnist_pipeline.validation.proposal import propose
from mnist_pipeline.validation.suite import Suite, load_suite, own_suite_path


def run(params: Params, exact_counts: bool) -> None:
    """Write thresholds that `data/raw` meets into its suite, and print what has changed."""
    path = own_suite_path(params)
    if path.stem == "any":
        raise PipelineError(f"{path} is for pictures of all kinds: set validate.suite to auto, or to another name")
    before = load_suite(path).model_dump(exclude_none=True) if path.exists() else {}
    if before.get("train_counts") and not exact_counts:
        raise PipelineError(
            f"{path} has the exact counts of each class, which would be lost: give --exact-counts, "
            "or, for data of your own, set data.dataset to idx and validate.suite to auto"
        )
    splits = {split: load_split(paths.RAW, split) for split in SPLITS}
    tables, facts, names = measure(splits)
    proposed = propose(tables, facts, len(names), of_strokes(params.data), exact_counts)
    with TemporaryDirectory() as folder:
        _, failures = check(tables, facts, Suite(**proposed), names, Path(folder))
    if failures:  # a class without a training image, or a label beyond the classes
        first = failures[0]
        raise PipelineError(
            f"{paths.RAW}: no suite lets these data pass: {first.table}, {first.column}: expected {first.expected}, "
            f"observed {first.observed}; {path} stays as it is"
        )
    old = path.read_text(encoding="utf-8").splitlines() if before else []
    header = [line for line in old if line.startswith("#")] or [
        f"# What validation expects of {path.stem}; docs/reference/suites.md describes each key."
    ]
    # JSON is YAML too
    values = [fill(f"{key}: {json.dumps(value)}", 120, subsequent_indent="  ") for key, value in proposed.items()]
    write_text(path, "\n".join([*header, *values, ""]))
    rows = [
        (key, *(shorten(str(suite.get(key, "-")), 60) for suite in (before, proposed))) for key in before | proposed
    ]
    console.table(f"{path}, from {paths.RAW}", ("key", "before", "now"), rows)
    console.info(f"{path} expects data like these; next: make repro")
