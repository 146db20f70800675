"""The table that `make repro` ends with, read from the reports alone."""

import sys

from mnist_pipeline import console, paths
from mnist_pipeline.comparison.paired import PAIR_COLUMNS, comparison_lines
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json, read_table
from mnist_pipeline.history import git
from mnist_pipeline.params import Params


def run(params: Params) -> None:
    """Print a line for each model, how they compare, and where to look next."""
    confidence = params.evaluate.confidence
    columns = ("model", "parameters", "validation", "test accuracy", "interval", "errors", "ONNX against PyTorch")
    rows = []
    reports = [
        paths.COMPARISON,
        *(paths.report(stage, model) for stage in ("train", "evaluate", "export") for model in params.models),
    ]
    for file in (folder / "metrics.json" for folder in reports):
        if not file.exists():
            raise PipelineError(f"{file}: missing: {_advice()}")
    for model in params.models:
        train, test, export = (
            read_json(paths.report(stage, model) / "metrics.json") for stage in ("train", "evaluate", "export")
        )
        interval = f"{test['accuracy_low']:.2%} to {test['accuracy_high']:.2%} at {confidence:.0%}"
        trained = (f"{train['parameters']:,}", f"{train['validation_accuracy']:.2%}")
        tested = (f"{test['accuracy']:.2%}", interval, f"{test['errors']:,}")
        rows.append((model, *trained, *tested, f"logits within {export['max_logit_difference']:.1e}"))
    summary = read_json(paths.COMPARISON / "metrics.json")
    pairs = read_table(paths.COMPARISON / "tables/pairs.csv", PAIR_COLUMNS)
    console.table("Results", columns, rows, stderr=False)
    lines = [
        *comparison_lines(summary, pairs, params.models, confidence),
        "Compare the runs:  make ui",
        "Reports:           reports/evaluate/<model>, reports/compare, reports/validate, dvc plots show",
        f"ONNX files:        {', '.join(str(paths.onnx(model)) for model in params.models)}",
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _advice() -> str:
    """What brings the results of this commit, or the commit whose results were published last."""
    try:
        (commit,) = git.lines("rev-list", "--abbrev-commit", "--max-count=1", "HEAD", "--", str(paths.PUBLISHED))
        (published,) = git.files_at([commit], paths.LOCK)
    except (PipelineError, ValueError):  # no repository, or nothing was published
        return "run make repro"
    if paths.LOCK.exists() and paths.LOCK.read_text() == published:
        return "run make pull, or make repro"
    return f"run make repro; the last published results are those of {commit}: git checkout {commit}, then make pull"
