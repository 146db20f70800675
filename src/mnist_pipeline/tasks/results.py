"""The table that `make repro` ends with, read from the reports alone."""

from rich.console import Console
from rich.table import Table

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json
from mnist_pipeline.params import Params

COLUMNS = ("model", "parameters", "validation", "test accuracy", "interval", "errors", "ONNX against PyTorch")


def show(params: Params) -> None:
    """Prints one row for each model, and where to look next.

    Raises:
        PipelineError: a report is missing.
    """
    table = Table(*COLUMNS, title="Results", title_justify="left")
    for model in params.models:
        table.add_row(model, *_row(params, model))
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    console.print("Compare the runs:  make ui", markup=False)
    console.print("Reports:           reports/evaluate/<model>, reports/validate, dvc plots show", markup=False)
    networks = ", ".join(str(paths.onnx(model)) for model in params.models)
    console.print(f"ONNX files:        {networks}", markup=False, soft_wrap=True)


def _row(params: Params, model: str) -> tuple[str, ...]:
    reports = {}
    for stage in ("train", "evaluate", "export"):
        path = paths.report(stage, model) / "metrics.json"
        if not path.exists():
            raise PipelineError(f"{path}: missing: run make repro (or dvc repro) first")
        reports[stage] = read_json(path)
    train, test, export = reports["train"], reports["evaluate"], reports["export"]
    return (
        f"{train['parameters']:,}",
        f"{train['validation_accuracy']:.2%}",
        f"{test['accuracy']:.2%}",
        f"{test['accuracy_low']:.2%} to {test['accuracy_high']:.2%} at {params.evaluate.confidence:.0%}",
        f"{test['errors']:,}",
        f"logits within {export['max_logit_difference']:.1e}",
    )
