"""All that a store shows of its runs, but for run ids, times, and what only the stage itself can know."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore
from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

from mnist_pipeline.formats import file_digest
from mnist_pipeline.tracking.onnx_model import find_models

LATENCY = "latency"
"""In the names of what is measured when a network is exported, and is in no file of DVC's."""
OWN = ("source", "run", "row", "process.")
"""How tags begin that name where the run comes from, or itself."""
IDENTITY = {"artifact_path", "model_id", "model_uuid", "run_id", "utc_time_created"}
"""Keys of an MLmodel file that name the model itself, or its time."""


def forget(folder: Path) -> None:
    """Deletes the store of a project, also from MLflow's caches, which keep a deleted database open in this process."""
    shutil.rmtree(folder / "mlruns")
    for store in (TrackingStore, RegistryStore):
        for engine in store._engine_map.values():
            engine.dispose()
        store._engine_map.clear()
    for registry in (TrackingStoreRegistry, ModelRegistryStoreRegistry):
        registry._get_store_with_resolved_uri.cache_clear()


def client_of(folder: Path) -> MlflowClient:
    """A client of a copy of the database: MLflow keeps a database open, also when the file is another by now."""
    return MlflowClient(f"sqlite:///{shutil.copy(folder / 'mlruns/mlflow.db', mkdtemp())}")


def runs_of(folder: Path, experiment: str = "mnist-pipeline") -> list[Run]:
    client = client_of(folder)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def shown(folder: Path) -> dict[str, Any]:
    """What each run of a project in `folder` shows, by its stage and name."""
    client = client_of(folder)
    names = ("mnist-pipeline", "mnist-pipeline-data", "mnist-pipeline-comparisons")
    every = [run for name in names for run in runs_of(folder, name)]
    return {f"{run.data.tags['dvc.stage']} {run.info.run_name}": _run(client, run) for run in every}


def _run(client: MlflowClient, run: Run) -> dict[str, Any]:
    names = [name for name in run.data.metrics if LATENCY not in name]
    curves = {name: client.get_metric_history(run.info.run_id, name) for name in names}
    return {
        "status": run.info.status,
        "parameters": run.data.params,
        "curves": {name: [(point.step, point.value) for point in points] for name, points in curves.items()},
        "tags": {name: value for name, value in run.data.tags.items() if not name.startswith(OWN)},
        "inputs": [
            (data.dataset.to_dictionary(), [tag.value for tag in data.tags]) for data in run.inputs.dataset_inputs
        ],
        "artifacts": dict(_files(client, run.info.run_id)),
        "models": [_model(model) for model in find_models(client, run.info.run_id)],
        "steps of models": [output.step for output in run.outputs.model_outputs],
    }


def _model(model: LoggedModel) -> dict[str, Any]:
    folder = Path(model.artifact_location)
    description = yaml.safe_load((folder / "MLmodel").read_text())
    files = {str(path.relative_to(folder)): file_digest(path, "md5") for path in folder.rglob("*") if path.is_file()}
    del files["MLmodel"]
    return {
        "name": model.name,
        "status": str(model.status),
        "tags": {name: value for name, value in model.tags.items() if not name.startswith(OWN)},
        "parameters": model.params,
        "metrics": {metric.key: metric.value for metric in model.metrics or () if LATENCY not in metric.key},
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
                if path.is_file() and LATENCY not in path.name:
                    yield f"{entry.path}/{path.relative_to(local)}", file_digest(path, "md5")
