"""The exported network as an MLflow model, which `mlflow.pyfunc` loads and `mlflow models serve` serves.

It is logged through the client alone: `mlflow.onnx.log_model` takes the store and the experiment from global state.
"""

from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.onnx
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from mnist_pipeline.files import file_digest
from mnist_pipeline.serving.network import read_network
from mnist_pipeline.tracking.store import without_noise

REQUIREMENTS = ("mlflow", "numpy", "onnx", "onnxruntime")
REGISTERED = "registered"
"""Tag of a model that is a version in the registry: it outlives its row."""
ROW = "row"
"""Tag of a model: the run that shows it. `source_run_id` cannot follow when a new row takes the place of an old one."""


def find_models(client: MlflowClient, run_id: str) -> list[LoggedModel]:
    """The models of a run; not those that were deleted."""
    experiment = client.get_run(run_id).info.experiment_id
    return list(client.search_logged_models([experiment], filter_string=f"tags.`{ROW}` = '{run_id}'"))


def log_onnx_model(client: MlflowClient, run_id: str, name: str, file: Path) -> bool:
    """Attaches an ONNX file to a run, at its last epoch, in the place of the one that it had; says whether it did.

    The model has the MD5 of the file as a tag, as `dvc.lock` has it; the same file again changes nothing.
    """
    former = find_models(client, run_id)
    md5 = file_digest(file, "md5")
    if any(model.tags["dvc.md5"] == md5 and model.status == LoggedModelStatus.READY for model in former):
        return False
    network = read_network(file)
    run = client.get_run(run_id)
    tags = {"dvc.md5": md5, ROW: run_id}
    model = client.create_logged_model(run.info.experiment_id, name, run_id, tags, run.data.params)
    with TemporaryDirectory() as folder, without_noise():
        path = Path(folder) / "model"
        _save(network, path, Model(model.artifact_location, run_id, model_uuid=model.model_id, model_id=model.model_id))
        client.log_model_artifacts(model.model_id, str(path))
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, _last_epoch(run))])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    for other in former:
        retire_model(client, other)
    return True


def retire_model(client: MlflowClient, model: LoggedModel) -> None:
    """Takes a model from its row, and deletes it unless the registry has it."""
    if REGISTERED in model.tags:
        client.set_logged_model_tags(model.model_id, {ROW: "none"})
    else:
        client.delete_logged_model(model.model_id)


def move_models(client: MlflowClient, old: Run, run_id: str) -> None:
    """Lets another run show the models of a run."""
    for model in find_models(client, old.info.run_id):
        if model.status == LoggedModelStatus.READY:
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, _last_epoch(old))])
            client.set_logged_model_tags(model.model_id, {ROW: run_id})


def show_metrics(client: MlflowClient, run_id: str) -> None:
    """Shows the latest metrics of a run on the pages of its models."""
    for model in find_models(client, run_id):
        histories = [client.get_metric_history(run_id, name) for name in client.get_run(run_id).data.metrics]
        latest = [max(history, key=lambda point: (point.step, point.timestamp)) for history in histories]
        shown = {(point.key, point.timestamp, point.step) for point in model.metrics or []}
        # MLflow 3.17 fails where it is given more than a hundred, of which it has some
        new = [point for point in latest if (point.key, point.timestamp, point.step) not in shown]
        client.log_batch(run_id, [Metric(m.key, m.value, m.timestamp, m.step, model_id=model.model_id) for m in new])


def _last_epoch(run: Run) -> int:
    return int(run.data.metrics["train/epochs"])


def _save(network: Any, path: Path, model: Model) -> None:
    mlflow.onnx.save_model(
        network,
        str(path),
        mlflow_model=model,
        signature=_signature(network),
        input_example={"image": np.zeros((1, *_image_size(network)), dtype=np.uint8)},
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )


def _signature(network: Any) -> ModelSignature:
    """Raw pixels `uint8 [N, height, width]` in, and each named output `float32 [N, classes]`."""
    inputs: list[ColSpec | TensorSpec] = [TensorSpec(np.dtype("uint8"), (-1, *_image_size(network)), "image")]
    outputs: list[ColSpec | TensorSpec] = [
        TensorSpec(np.dtype("float32"), (-1, _sizes(output)[1]), output.name) for output in network.graph.output
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _image_size(network: Any) -> tuple[int, ...]:
    return _sizes(network.graph.input[0])[1:]


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
