"""The one place that writes MLflow's runs.

A trained model has one run, found by the MD5 of the weights (tag `dvc.md5`) and the parameters of the training: a
second training that ends in the same adds none, and evaluate, export and card add to it.
"""

import hashlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.data.schema import TensorDatasetSchema
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.types import Schema, TensorSpec
from numpy import dtype

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import SplitName
from mnist_pipeline.tracking import results
from mnist_pipeline.tracking.onnx_model import find_models, log_onnx_model, retire_model, show_metrics
from mnist_pipeline.tracking.results import RunUpdate, Snapshot
from mnist_pipeline.tracking.store import Store, errors_in_one_line, open_experiment, open_store

BATCH = 900  # metrics of one request: MLflow takes 1000 entries, and the first has the parameters too
LIVE = "process.live"
"""Tag of a run whose process trains meanwhile; the others are written at once, and half of one is worth nothing."""


def write_model_run(
    store: Store,
    snapshot: Snapshot,
    model: str,
    updates: Sequence[RunUpdate],
    live_run_id: str | None = None,
    only_missing: bool = False,
    is_newest: bool = True,
) -> bool:
    """Add updates to the run of a trained model, with `only_missing` what it lacks; report whether any was written.

    Where the model has no run, the one of the training that has just ended becomes it, or the files make one. Only
    `is_newest` replaces what an evaluation of the same weights has shown.
    """
    client, md5, params = store.client, snapshot.md5(paths.weights(model)), results.training_params(snapshot, model)
    with store.exclusive():
        found = find_runs(client, store.models, {"dvc.md5": md5}, "FINISHED")
        run = next((run for run in found if _training_params(run) == params), None)
        wrote = run is None
        if run is None:
            training = results.training(snapshot, model)
            run_id = live_run_id or create_run(store, store.models, model, training_tags(snapshot, model, "sync"))
            _add(client, run_id, training, snapshot)
            set_tags(client, run_id, {"mlflow.runName": results.run_name(model, snapshot, md5[:7])})
            client.set_terminated(run_id, "FINISHED")
            run = client.get_run(run_id)
        elif live_run_id:
            client.set_terminated(live_run_id, "FINISHED")
            _delete_run(client, live_run_id)
    for update in updates:
        if not only_missing or _lacks(run, update, is_newest):
            wrote = True
            if update.network:
                log_onnx_model(client, run.info.run_id, model, update.network)
            _add(client, run.info.run_id, update, snapshot)
            show_metrics(client, run.info.run_id)
    return wrote


def _lacks(run: Run, update: RunUpdate, is_newest: bool) -> bool:
    """Whether a run has nothing of a stage, or shows another result although this is the newest."""
    shown = run.data.tags
    names = update.metrics.keys() | {name for _, points in update.curves for name in points}
    differs = any(shown.get(name) != value for name, value in update.tags.items() if name != results.NOTE)
    return bool(names - run.data.metrics.keys()) or update.tags.keys().isdisjoint(shown) or (is_newest and differs)


def write_once(
    store: Store, stage: str, snapshot: Snapshot, update: RunUpdate, source: str, status: str = "FINISHED"
) -> bool:
    """Write the run of download, validate or compare, unless one shows the same; report whether it was written."""
    experiment, name = store.data, f"{stage} · {snapshot.data_md5[:7]}"
    if stage == "compare":
        experiment = open_experiment(store, f"{store.name}-comparisons")
        name = results.run_name(stage, snapshot, " ".join(update.params[model] for model in snapshot.value("models")))
    tags = {"dvc.stage": stage, "data.md5": snapshot.data_md5}
    with store.exclusive():
        for run in find_runs(store.client, experiment, tags, status):
            # those of earlier releases show more, and lack a tag
            same = all(run.data.tags.get(name, value) == value for name, value in update.tags.items())
            shown = run.data.params.items() | run.data.metrics.items()
            if same and update.params.items() | update.metrics.items() <= shown:
                return False
        run_id = create_run(store, experiment, name, {**tags, "source": source, **snapshot.origin})
        _add(store.client, run_id, update, snapshot)
        store.client.set_terminated(run_id, status)
    return True


def start_training(
    store: Store, snapshot: Snapshot, model: str, experiment: str, name: str, tags: Mapping[str, str]
) -> str:
    """Create the run of a model that begins to train, and close those of processes that are gone; returns its id."""
    close_dead_runs(store)
    run_id = create_run(store, experiment, name, {**tags, **snapshot.origin, LIVE: "true"})
    start = RunUpdate(results.training_params(snapshot, model), reads=("train", "training"))
    _add(store.client, run_id, start, snapshot)
    return run_id


def training_tags(snapshot: Snapshot, model: str, source: str) -> dict[str, str]:
    return {"dvc.stage": f"train@{model}", "data.md5": snapshot.data_md5, "source": source, **snapshot.origin}


def create_run(store: Store, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    """Create a run with tags of the process that writes it; returns its id."""
    return str(store.client.create_run(experiment, run_name=name, tags={**tags, **_process_tags()}).info.run_id)


def log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    now = int(time.time() * 1000)
    points = [Metric(name, value, now, step) for name, value in metrics.items()]
    client.log_batch(run_id, metrics=points, synchronous=True)


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()], synchronous=True)


def find_runs(client: MlflowClient, experiment: str, tags: Mapping[str, str], status: str = "") -> list[Run]:
    """The runs of an experiment that have all the tags, newest first; not those that were deleted."""
    wanted = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    wanted += [f"attributes.status = '{status}'"] if status else []
    return list(client.search_runs([experiment], " and ".join(wanted), order_by=["attributes.start_time DESC"]))


@dataclass(frozen=True)
class TrackedRun:
    """A run: its name, id and status, whether a stage or `sync` wrote it, and the MD5 of what it shows."""

    name: str
    run_id: str
    status: str
    source: str
    md5: str


@errors_in_one_line()
def tracked_runs(experiment: str, md5: str = "", run_id: str = "") -> list[TrackedRun]:
    """The runs of trained weights or of data with this MD5, or the one with this id; none where there is none."""
    store, found = open_store(experiment), []
    if md5:
        found = find_runs(store.client, store.models, {"dvc.md5": md5})
        found += find_runs(store.client, store.data, {"data.md5": md5})
    else:
        try:
            found = [store.client.get_run(run_id)]
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    tracked = []
    for tags, info in ((run.data.tags, run.info) for run in found):
        shown = tags.get("data.md5" if tags.get("dvc.stage") in ("download", "validate") else "dvc.md5", "")
        tracked.append(TrackedRun(str(info.run_name), info.run_id, info.status, tags.get("source", ""), shown))
    return tracked


def close_dead_runs(store: Store) -> None:
    """Mark trainings KILLED whose process on this host is gone; delete those that have a whole run, and half runs."""
    client, names = store.client, {f"{store.name}{kind}" for kind in ("", "-data", "-comparisons", "-sweeps")}
    found = client.search_experiments(filter_string=f"name LIKE '{store.name}%'")
    experiments = [experiment.experiment_id for experiment in found if experiment.name in names]
    running = f"attributes.status = 'RUNNING' and tags.`process.host` = '{platform.node()}'"
    for run in client.search_runs(experiments, running):
        run_id, tags = run.info.run_id, run.data.tags
        if not _is_alive(tags):
            client.set_terminated(run_id, "KILLED")
            same = {name: tags.get(name, "none") for name in ("dvc.stage", "data.md5")}
            whole = find_runs(client, run.info.experiment_id, same, "FINISHED")
            if LIVE not in tags or any(_training_params(other) == run.data.params for other in whole):
                _delete_run(client, run_id)


def _delete_run(client: MlflowClient, run_id: str) -> None:
    """Delete a run and its models as MLflow's page does, which can restore the run."""
    for model in find_models(client, run_id):
        retire_model(client, model)
    client.delete_run(run_id)


def _add(client: MlflowClient, run_id: str, update: RunUpdate, snapshot: Snapshot) -> None:
    """Add an update; what is there already stays as it is, so adding it again changes nothing."""
    run, now = client.get_run(run_id).data, int(time.time() * 1000)
    shown = run.metrics
    points = []  # MLflow's pages have the metrics in this order
    for epoch, curves in update.curves:
        points += [Metric(name, value, now, epoch) for name, value in curves.items() if name not in shown]
    points += [Metric(name, value, now, 0) for name, value in update.metrics.items() if shown.get(name) != value]
    params = [Param(name, value) for name, value in update.params.items()]
    for start in range(0, len(points) or len(params), BATCH):
        batch = points[start : start + BATCH]
        client.log_batch(run_id, metrics=batch, params=[] if start else params, synchronous=True)
    for path, folder in update.artifacts:
        log = client.log_artifacts if path.is_dir() else client.log_artifact
        log(run_id, str(path), folder)
    if update.reads:
        client.log_inputs(run_id, [_dataset_input(snapshot, *update.reads)])
    tags, written = dict(update.tags), run.tags.get(results.NOTE, "")
    if written and hashlib.md5(written.encode()).hexdigest() != run.tags.get(results.NOTE_MD5):
        tags.pop(results.NOTE, None)  # somebody has changed it
    set_tags(client, run_id, tags)  # last: a run that has them has the rest


def _dataset_input(snapshot: Snapshot, split: SplitName, context: str) -> DatasetInput:
    """MLflow keeps one entry for a name and digest in an experiment, so each split needs a name of its own."""
    name, source = f"{snapshot.value('data.dataset')}-{split}", json.dumps({"uri": str(paths.RAW)})
    schema, profile = None, None
    if shape := snapshot.images(split):
        images = Schema([TensorSpec(dtype("uint8"), (-1, *shape[1:]), "image")])
        labels = Schema([TensorSpec(dtype("int64"), (-1,), "label")])
        schema = json.dumps(TensorDatasetSchema(images, labels).to_dict())
        profile = json.dumps({"num_rows": shape[0], "num_elements": prod(shape)})
    dataset = Dataset(name, snapshot.data_md5, "local", source, schema, profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _training_params(run: Run) -> dict[str, str]:
    """The parameters of a run, without those of evaluate and export that earlier releases put among them."""
    return {name: value for name, value in run.data.params.items() if not name.startswith(("evaluate.", "export."))}


def _process_tags() -> dict[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    process, boot_id = psutil.Process(), boot.read_text().strip() if boot.exists() else f"{psutil.boot_time():.0f}"
    tags = {"host": platform.node(), "boot_id": boot_id, "id": process.pid, "started": int(process.create_time())}
    return {f"process.{name}": str(value) for name, value in tags.items()}


def _is_alive(tags: Mapping[str, str]) -> bool:
    if tags["process.boot_id"] == _process_tags()["process.boot_id"]:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(tags["process.id"]))
            same = abs(process.create_time() - float(tags["process.started"])) < 5  # a clock that is set moves it
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    return False
