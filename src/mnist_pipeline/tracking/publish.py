"""What the stages show in MLflow, told from the files that DVC keeps.

A model has one row. Training opens it; evaluation and export find it by the MD5 of the weights and add to it.
A store that cannot be reached costs the row, never the stage: `mnist-pipeline sync` writes it later.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mnist_pipeline import console
from mnist_pipeline.params import Params, Tracking
from mnist_pipeline.tracking import content, origin, rows, runs
from mnist_pipeline.tracking.alive import Mark, close_dead_runs
from mnist_pipeline.tracking.content import Version
from mnist_pipeline.tracking.data_rows import add_data_row
from mnist_pipeline.tracking.store import Store, StoreError, open_store, told_in_one_line

SYNC_ADDS_IT = "the stage goes on; mnist-pipeline sync adds it"


@contextmanager
def _never_costs_a_stage(settings: Tracking) -> Iterator[None]:
    """Tells in one line what kept MLflow from taking a row.

    Raises:
        StoreError: that happened, and `tracking.strict` is true.
    """
    advice = "mend that, or let stages go on without: tracking.strict: false" if settings.strict else SYNC_ADDS_IT
    try:
        with told_in_one_line("MLflow did not take the row", advice):
            yield
    except StoreError as error:
        if settings.strict:
            raise
        console.say(f"warning: {error}")


def _store(settings: Tracking) -> Store:
    return open_store(settings.experiment, settings.patience_seconds)


def publish_download(params: Params) -> None:
    """The row of the data in `data/raw`."""
    version = work_tree(params)
    part = content.download(version)
    with _never_costs_a_stage(params.tracking):
        add_data_row(_store(params.tracking), version, part, "FINISHED", "stage")


def publish_validation(params: Params, passed: bool, facts: Mapping[str, Any], data_docs: Path | None) -> None:
    """The row of the gate's judgement, marked failed where it refused; Data Docs are attached.

    Files that cannot be read have neither facts nor Data Docs.
    """
    version = work_tree(params)
    part = content.validation(version, facts, data_docs)
    with _never_costs_a_stage(params.tracking):
        store = _store(params.tracking)
        add_data_row(store, version, part, "FINISHED" if passed else "FAILED", "stage")


def work_tree(params: Params) -> Version:
    """What lies in the working folder, as the stages leave it."""
    return Version(params.model_dump(by_alias=True), origin.of_work_tree())


class TrainingRun:
    """The row of a model while it trains.

    It takes nothing more once MLflow has failed it or taken too long: a row with gaps would look whole.
    """

    def __init__(self, params: Params, model: str) -> None:
        self._model = model
        self._tracking = params.tracking
        self._version = work_tree(params)
        self._settings = content.training_settings(self._version, model)
        self._store: Store | None = None
        self._mark: Mark | None = None
        self._run_id = ""
        with _never_costs_a_stage(self._tracking):
            store = _store(self._tracking)
            close_dead_runs(store.client)
            self._run_id = rows.open_row(store, self._version, model, "stage")
            self._mark = Mark(store.client, self._run_id)
            runs.add(store.client, self._run_id, self._settings)
            self._store = store

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Logs one row of `history.csv`."""
        with self._store_until_it_fails() as store:
            if store:
                runs.log_metrics(store.client, self._run_id, content.epoch_metrics(metrics), epoch)

    def finish(self) -> None:
        """Completes the row from the files that training wrote."""
        results = content.training_results(self._version, self._model)
        with self._store_until_it_fails() as store:
            if store:
                rows.complete_row(store, self._version, self._run_id, self._model, self._settings, results)
        self._let_go()

    def end(self, status: str) -> None:
        """Closes the row of a training that did not come to its end."""
        with self._store_until_it_fails() as store:
            if store:
                store.client.set_terminated(self._run_id, status)
        self._let_go()

    @contextmanager
    def _store_until_it_fails(self) -> Iterator[Store | None]:
        store, self._store = self._store, None
        with _never_costs_a_stage(self._tracking):
            yield store
            self._store = store

    def _let_go(self) -> None:
        mark, self._mark = self._mark, None
        with _never_costs_a_stage(self._tracking):
            if mark and self._store:
                mark.take_away()
            elif mark:
                mark.leave()


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
    version = work_tree(params)
    part = content.evaluation(version, model)
    with _never_costs_a_stage(params.tracking):
        rows.add_part(_store(params.tracking), version, model, part)


def publish_export(params: Params, model: str, timings: Mapping[str, float]) -> None:
    """Adds the network, its parity and its latencies to the row of the weights."""
    version = work_tree(params)
    part = content.export(version, model, timings)
    with _never_costs_a_stage(params.tracking):
        rows.add_part(_store(params.tracking), version, model, part)
