"""What the stages show in MLflow, told from the files that DVC keeps.

A model has one row. Training opens it; evaluation and export find it by the MD5 of the weights and add to it.
A store that cannot be reached costs the row, never the stage.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mnist_pipeline import console
from mnist_pipeline.params import Params
from mnist_pipeline.tracking import content, rows, runs
from mnist_pipeline.tracking.content import Part
from mnist_pipeline.tracking.lineage import lineage
from mnist_pipeline.tracking.model import log_onnx_model, show_metrics
from mnist_pipeline.tracking.store import Store, open_store

LONGEST_REASON = 300


@contextmanager
def _never_costs_a_stage() -> Iterator[None]:
    """Tells in one line what kept MLflow from taking a row; `requests` raises `OSError`s too."""
    try:
        yield
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        console.say(f"warning: MLflow did not take the row: {reason}. The files are complete; only the view lacks it.")


def publish_download(params: Params) -> None:
    """The row of the data in `data/raw`."""
    _publish_data(params, content.download(params), "FINISHED")


def publish_validation(params: Params, passed: bool, facts: Mapping[str, Any], data_docs: Path | None) -> None:
    """The row of the gate's judgement, marked failed where it refused; Data Docs are attached.

    Files that cannot be read have neither facts nor Data Docs.
    """
    _publish_data(params, content.validation(params, facts, data_docs), "FINISHED" if passed else "FAILED")


def _publish_data(params: Params, part: Part, status: str) -> None:
    """Writes the row of a data stage, unless one shows the same settings, numbers and outcome for the same data."""
    data_md5 = content.data_md5()
    tags = lineage(part.stage, data_md5, "stage")
    with _never_costs_a_stage():
        store = open_store(params.tracking.experiment)
        with store.exclusive():
            shown = runs.find_runs(store.client, store.data, {"dvc.stage": part.stage, "data.md5": data_md5})
            if any(_shows(row, part, status) for row in shown):
                return
            run = store.client.create_run(store.data, run_name=f"{part.stage}-{data_md5[:7]}", tags=tags)
            runs.add(store.client, run.info.run_id, part)
            store.client.set_terminated(run.info.run_id, status)


def _shows(row: Run, part: Part, status: str) -> bool:
    return (row.data.params, row.data.metrics, row.info.status) == (part.params, part.metrics, status)


class TrainingRun:
    """The row of a model while it trains.

    It takes nothing more once MLflow has failed it: a row with gaps would look whole.
    """

    def __init__(self, params: Params, model: str) -> None:
        self._model = model
        self._settings = content.training_settings(params, model)
        self._store: Store | None = None
        self._run_id = ""
        with _never_costs_a_stage():
            store = open_store(params.tracking.experiment)
            self._run_id = rows.open_row(store, model, self._settings, "stage")
            self._store = store

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Logs one row of `history.csv`."""
        with self._store_until_it_fails() as store:
            if store:
                runs.log_metrics(store.client, self._run_id, content.epoch_metrics(metrics), epoch)

    def finish(self) -> None:
        """Completes the row from the files that training wrote."""
        results = content.training_results(self._model)
        with self._store_until_it_fails() as store:
            if store:
                rows.complete_row(store, self._run_id, self._model, self._settings, results)

    def end(self, status: str) -> None:
        """Closes the row of a training that did not come to its end."""
        with self._store_until_it_fails() as store:
            if store:
                store.client.set_terminated(self._run_id, status)

    @contextmanager
    def _store_until_it_fails(self) -> Iterator[Store | None]:
        store, self._store = self._store, None
        with _never_costs_a_stage():
            yield store
            self._store = store


@contextmanager
def training_run(params: Params, model: str) -> Iterator[TrainingRun]:
    """The row of a model that trains within the block; an error marks it failed, Ctrl-C killed."""
    row = TrainingRun(params, model)
    try:
        yield row
    except BaseException as error:
        row.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise


def publish_evaluation(params: Params, model: str) -> None:
    """Adds the test results to the row of the weights."""
    part = content.evaluation(params, model)
    with _never_costs_a_stage():
        store = open_store(params.tracking.experiment)
        run_id = rows.row_for(store, params, model, part)
        runs.add(store.client, run_id, part)
        show_metrics(store.client, run_id)


def publish_export(params: Params, model: str, network: Any, timings: Mapping[str, float]) -> None:
    """Adds the network, an `onnx.ModelProto`, its parity and its latency to the row of the weights."""
    part = content.export(params, model, timings)
    md5 = content.onnx_md5(model)
    with _never_costs_a_stage():
        store = open_store(params.tracking.experiment)
        run_id = rows.row_for(store, params, model, part)
        runs.add(store.client, run_id, part)
        log_onnx_model(store.client, run_id, model, network, md5)
        show_metrics(store.client, run_id)
