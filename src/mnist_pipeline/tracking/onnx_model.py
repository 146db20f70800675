"""The exported network as an MLflow model, which `mlflow.pyfunc` loads and `mlflow models serve` serves.

It is logged through the client alone: `mlflow.onnx.log_model` takes the store and the experiment from global state.
"""

from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow.onnx
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from onnx import ModelProto, ValueInfoProto

from mnist_pipeline.export.network import read_network
from mnist_pipeline.formats import file_digest
from mnist_pipeline.tracking.store import quiet

REQUIREMENTS = ("mlflow", "numpy", "onnx", "onnxruntime")
REGISTERED = "registered"
"""Tag of a model that is a version in the registry: it outlives its run."""
RUN = ("run", "row")
"""Tag of a model: the run that shows it, or `none`; earlier stores have the second name."""


def run_of(model: LoggedModel) -> str | None:
    """The id of the run that shows a model."""
    shown = next((model.tags[name] for name in RUN if name in model.tags), "none")
    return None if shown == "none" else shown


def find_models(client: MlflowClient, run_id: str) -> list[LoggedModel]:
    """The models of a run; not those that were deleted."""
    experiment = client.get_run(run_id).info.experiment_id
    found = [client.search_logged_models([experiment], f"tags.`{name}` = '{run_id}'") for name in RUN]
    return [model for models in found for model in models if run_of(model) == run_id]


def find_network(client: MlflowClient, experiment: str, md5: str) -> LoggedModel | None:
    """A whole model of an experiment that is the ONNX file with this MD5."""
    found = client.search_logged_models([experiment], f"tags.`dvc.md5` = '{md5}'")
    return next((model for model in found if model.status == LoggedModelStatus.READY), None)


def log_onnx_model(client: MlflowClient, run_id: str, name: str, file: Path) -> bool:
    """Attach an ONNX file to a run, at its last epoch, in the place of the one that it had; returns whether it did.

    The same file again changes nothing. A model of this file that no run shows, as the registry keeps them, is taken.
    """
    former = find_models(client, run_id)
    md5 = file_digest(file, "md5")
    if any(model.tags["dvc.md5"] == md5 and model.status == LoggedModelStatus.READY for model in former):
        return False
    run = client.get_run(run_id)
    model = find_network(client, run.info.experiment_id, md5)
    if model is None or run_of(model):
        model = log_network(client, run.info.experiment_id, name, file, run)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, int(run.data.params.get("epochs", 0)))])
    client.set_logged_model_tags(model.model_id, {RUN[0]: run_id})
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    for other in former:
        retire_model(client, other)
    return True


def log_network(client: MlflowClient, experiment: str, name: str, file: Path, run: Run | None = None) -> LoggedModel:
    """An ONNX file as a model, of a run or of none; it is not finalized."""
    network = read_network(file)
    run_id, params = (run.info.run_id, run.data.params) if run else (None, {})
    tags = {"dvc.md5": file_digest(file, "md5"), RUN[0]: run_id or "none"}
    model = client.create_logged_model(experiment, name, run_id, tags, params)
    described = Model(model.artifact_location, run_id, model_uuid=model.model_id, model_id=model.model_id)
    signature = _signature(network)
    size = signature.inputs.inputs[0].shape[1:]
    with TemporaryDirectory() as folder, quiet():
        mlflow.onnx.save_model(
            network,
            f"{folder}/model",
            mlflow_model=described,
            signature=signature,
            input_example={"image": np.zeros((1, *size), dtype=np.uint8)},
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
        )
        client.log_model_artifacts(model.model_id, f"{folder}/model")
    return model


def retire_model(client: MlflowClient, model: LoggedModel) -> None:
    """Take a model from its run, and delete it unless the registry has it."""
    if REGISTERED in model.tags:
        client.set_logged_model_tags(model.model_id, dict.fromkeys(RUN, "none"))
    else:
        client.delete_logged_model(model.model_id)


def show_metrics(client: MlflowClient, run_id: str) -> None:
    """Show the latest metrics of a run on the pages of its models."""
    for model in find_models(client, run_id):
        histories = [client.get_metric_history(run_id, name) for name in client.get_run(run_id).data.metrics]
        latest = [max(history, key=lambda point: (point.step, point.timestamp)) for history in histories]
        shown = {(point.key, point.timestamp, point.step) for point in model.metrics or []}
        # MLflow 3.17 fails where it is given more than a hundred, of which it has some
        new = [point for point in latest if (point.key, point.timestamp, point.step) not in shown]
        client.log_batch(run_id, [Metric(m.key, m.value, m.timestamp, m.step, model_id=model.model_id) for m in new])


def _signature(network: ModelProto) -> ModelSignature:
    """Raw pixels `uint8 [N, height, width]` or with channels in, and each named output `float32 [N, classes]`."""

    def tensor(value: ValueInfoProto, kind: type[np.generic]) -> ColSpec | TensorSpec:
        sizes = [size.dim_value for size in value.type.tensor_type.shape.dim][1:]
        return TensorSpec(np.dtype(kind), (-1, *sizes), value.name)

    image, *_ = network.graph.input
    outputs = [tensor(output, np.float32) for output in network.graph.output]
    return ModelSignature(Schema([tensor(image, np.uint8)]), Schema(outputs))
