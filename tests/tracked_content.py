"""All that a store shows of its rows, but for run ids, times, and what only the stage itself can know."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from mnist_pipeline.files import file_digest

LATENCY = ("onnx/latency", "onnx/int8/latency")
"""Measured when a network is exported, and in no file of DVC's."""
OWN = {"source", "row"}
"""Tags that name where the row comes from, or itself."""
IDENTITY = {"artifact_path", "model_id", "model_uuid", "run_id", "utc_time_created"}
"""Keys of an MLmodel file that name the model itself, or its time."""


def client_of(folder: Path) -> MlflowClient:
    """A client of a copy of the database: MLflow keeps a database open, also when the file is another by now."""
    return MlflowClient(f"sqlite:///{shutil.copy(folder / 'mlruns/mlflow.db', mkdtemp())}")


def rows_of(folder: Path, experiment: str = "mnist-pipeline") -> list[Run]:
    client = client_of(folder)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def shown(folder: Path) -> dict[str, Any]:
    """What each row of a project in `folder` shows, by its stage and name."""
    client = client_of(folder)
    names = ("mnist-pipeline", "mnist-pipeline-data", "mnist-pipeline-comparisons")
    every = [row for name in names for row in rows_of(folder, name)]
    return {f"{row.data.tags['dvc.stage']} {row.info.run_name}": _row(client, row) for row in every}


def _row(client: MlflowClient, row: Run) -> dict[str, Any]:
    names = [name for name in row.data.metrics if not name.startswith(LATENCY)]
    curves = {name: client.get_metric_history(row.info.run_id, name) for name in names}
    models = client.search_logged_models([row.info.experiment_id], f"tags.row = '{row.info.run_id}'")
    return {
        "status": row.info.status,
        "parameters": row.data.params,
        "curves": {name: [(point.step, point.value) for point in points] for name, points in curves.items()},
        "tags": {name: value for name, value in row.data.tags.items() if name not in OWN},
        "inputs": [
            (data.dataset.to_dictionary(), [tag.value for tag in data.tags]) for data in row.inputs.dataset_inputs
        ],
        "artifacts": dict(_files(client, row.info.run_id)),
        "models": [_model(client, model) for model in models],
        "steps of models": [output.step for output in row.outputs.model_outputs],
    }


def _model(client: MlflowClient, model: Any) -> dict[str, Any]:
    folder = Path(model.artifact_location)
    description = yaml.safe_load((folder / "MLmodel").read_text())
    metrics = {metric.key: metric.value for metric in model.metrics or () if not metric.key.startswith(LATENCY)}
    files = {str(path.relative_to(folder)): file_digest(path, "md5") for path in folder.rglob("*") if path.is_file()}
    del files["MLmodel"]
    return {
        "name": model.name,
        "status": str(model.status),
        "tags": {name: value for name, value in model.tags.items() if name not in OWN},
        "parameters": model.params,
        "metrics": metrics,
        "description": {key: value for key, value in description.items() if key not in IDENTITY},
        "files": files,
    }


def _files(client: MlflowClient, run_id: str) -> Iterator[tuple[str, str]]:
    """The digest of each artifact by its path; Data Docs, which carry times, aside."""
    for entry in client.list_artifacts(run_id):
        if entry.path == "data_docs":
            continue
        with TemporaryDirectory() as target:
            local = Path(client.download_artifacts(run_id, entry.path, target))
            for path in sorted(local.rglob("*")):
                if path.is_file():
                    yield f"{entry.path}/{path.relative_to(local)}", file_digest(path, "md5")
