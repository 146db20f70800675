"""How MLflow's pages show the runs, in the format in which 3.17 keeps that: columns, their order, and charts."""

import json
from collections.abc import Sequence
from typing import Any

RESULTS = "results"
"""The key of the view of the trained models."""
COLUMNS = {
    "metrics.`accuracy`": 120,
    "metrics.`errors`": 80,
    "metrics.`validation_accuracy`": 165,
    "tags.`changed`": 380,
}
"""Those of the trained models and their widths, which fit beside the names on a page of 1,400 pixels."""
CHARTS = {
    "Curves": ("LINE", ("validation_accuracy", "validation_loss", "train_loss")),
    "Test results": ("BAR", ("errors", "loss", "corruption_accuracy")),
}
"""The sections of charts above those that MLflow makes of all metrics: what is drawn, and of which."""


def best_first(metric: str, columns: Sequence[str]) -> dict[str, Any]:
    """A table with these columns, the highest metric first; by itself MLflow shows no metric."""
    return {"selectedColumns": columns, "orderByKey": f"metrics.`{metric}`", "orderByAsc": False}


def charts() -> dict[str, Any]:
    """The sections of `CHARTS`; MLflow adds the other metrics below."""
    sections = [{"uuid": name, "name": name, "display": True} for name in CHARTS]
    charts = [
        {"uuid": metric, "type": kind, "metricSectionId": section, "metricKey": metric, "lineSmoothness": 0}
        for section, (kind, metrics) in CHARTS.items()
        for metric in metrics
    ]
    return {"compareRunSections": sections, "compareRunCharts": charts, "isAccordionReordered": True}


def trained_models() -> dict[str, Any]:
    """The best model first, and the curves above all other charts."""
    return best_first("accuracy", [*COLUMNS]) | {"columnWidths": COLUMNS, "columnOrder": [*COLUMNS]} | charts()


def saved_view(key: str, name: str, state: dict[str, Any]) -> dict[str, str]:
    """Tags of an experiment that put a view of its table under the button "Views", and at `viewStateShareKey=key`."""
    view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    return {f"mlflow.sharedViewState.{key}": json.dumps(view)}
