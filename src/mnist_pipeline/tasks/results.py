"""The table that `make repro` ends with, read from the reports alone."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.comparison import tell
from mnist_pipeline.files import read_json
from mnist_pipeline.params import Params

COLUMNS = ("model", "parameters", "validation", "test accuracy", "interval", "errors", "ONNX against PyTorch")


def show(params: Params) -> None:
    """Prints one row for each model, how they compare, and where to look next.

    Raises:
        PipelineError: a report is missing.
    """
    table = Table(*COLUMNS, title="Results", title_justify="left")
    for model in params.models:
        table.add_row(model, *_row(params, model))
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    for line in tell(_read(paths.COMPARISON), params.models, params.evaluate.confidence):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print("Compare the runs:  make ui", markup=False)
    console.print(
        "Reports:           reports/evaluate/<model>, reports/compare, reports/validate, dvc plots show", markup=False
    )
    networks = ", ".join(str(paths.onnx(model)) for model in params.models)
    console.print(f"ONNX files:        {networks}", markup=False, soft_wrap=True)


def _row(params: Params, model: str) -> tuple[str, ...]:
    train, test, export = (_read(paths.report(stage, model)) for stage in ("train", "evaluate", "export"))
    return (
        f"{train['parameters']:,}",
        f"{train['validation_accuracy']:.2%}",
        f"{test['accuracy']:.2%}",
        f"{test['accuracy_low']:.2%} to {test['accuracy_high']:.2%} at {params.evaluate.confidence:.0%}",
        f"{test['errors']:,}",
        f"logits within {export['max_logit_difference']:.1e}",
    )


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if not path.exists():
        raise PipelineError(f"{path}: missing: run make repro (or dvc repro) first")
    return read_json(path)
