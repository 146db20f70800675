"""MLflow's runs, handled through its client alone: nothing here changes the status or the end of a run by the way."""

import json
import time
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.data.schema import TensorDatasetSchema
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.types import Schema, TensorSpec
from numpy import dtype

from mnist_pipeline import paths
from mnist_pipeline.tracking.content import DataUse, Part
from mnist_pipeline.tracking.model import find_models, retire_model

LIMIT = 1000
"""The most metrics that MLflow takes in one batch."""


def find_runs(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> list[Run]:
    """The runs of an experiment that have all the tags, newest first; not those that were deleted."""
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return list(client.search_runs([experiment], filter_string=wanted, order_by=["attributes.start_time DESC"]))


def delete_run(client: MlflowClient, run_id: str) -> None:
    """Deletes a run and its models as MLflow's pages do: only `mlflow gc` takes the files."""
    for model in find_models(client, run_id):
        retire_model(client, model)
    client.delete_run(run_id)


def add(client: MlflowClient, run_id: str, part: Part) -> None:
    """Adds a part; what is there already stays as it is, so adding a part again changes nothing.

    Raises:
        MlflowException: a parameter is there with another value, among others.
    """
    shown = client.get_run(run_id).data.metrics
    client.log_batch(run_id, params=[Param(name, value) for name, value in part.params.items()])
    log_metrics(client, run_id, {name: value for name, value in part.metrics.items() if shown.get(name) != value})
    for path, folder in part.artifacts:
        log = client.log_artifacts if path.is_dir() else client.log_artifact
        log(run_id, str(path), folder)
    if part.data:
        client.log_inputs(run_id, [_dataset_input(part.data)])


def log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    now = int(time.time() * 1000)
    batch = [Metric(name, value, now, step) for name, value in metrics.items()]
    for start in range(0, len(batch), LIMIT):
        client.log_batch(run_id, metrics=batch[start : start + LIMIT])


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def _dataset_input(data: DataUse) -> DatasetInput:
    """MLflow keeps one entry for a name and digest in an experiment, so each split needs a name of its own."""
    count, height, width = data.shape
    images = TensorSpec(dtype("uint8"), (-1, height, width), "image")
    labels = TensorSpec(dtype("uint8"), (-1,), "label")
    dataset = Dataset(
        name=data.name,
        digest=data.digest,
        source_type="local",
        source=json.dumps({"uri": str(paths.RAW)}),
        schema=json.dumps(TensorDatasetSchema(Schema([images]), Schema([labels])).to_dict()),
        profile=json.dumps({"num_rows": count, "num_elements": count * height * width}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", data.context)])
