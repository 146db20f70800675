"""What the stages show in MLflow, told from the files that DVC keeps.

A model has one row. Training opens it; evaluation, export and card find it by the MD5 of the weights and add to it.
A store that cannot be reached costs the row, never the stage: `mnist-pipeline sync` writes it later.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mnist_pipeline.params import Params
from mnist_pipeline.tracking import content, origin, rows
from mnist_pipeline.tracking.comparison_rows import add_comparison_row
from mnist_pipeline.tracking.content import Part, Version
from mnist_pipeline.tracking.data_rows import add_data_row
from mnist_pipeline.tracking.live import LiveRow, never_costs_a_stage, opened
from mnist_pipeline.tracking.store import Store

SYNC_ADDS_IT = "the stage goes on; mnist-pipeline sync adds it"


def publish_download(params: Params) -> None:
    """The row of the data in `data/raw`."""
    version = work_tree(params)
    part = content.download(version)
    with never_costs_a_stage(params.tracking, SYNC_ADDS_IT):
        add_data_row(opened(params.tracking), version, part, "FINISHED", "stage")


def publish_validation(params: Params, passed: bool, facts: Mapping[str, Any], data_docs: Path) -> None:
    """The row of the gate's judgement, marked failed where it refused; Data Docs are attached.

    Files that cannot be read have no facts.
    """
    version = work_tree(params)
    part = content.validation(version, facts, data_docs)
    with never_costs_a_stage(params.tracking, SYNC_ADDS_IT):
        store = opened(params.tracking)
        add_data_row(store, version, part, "FINISHED" if passed else "FAILED", "stage")


def work_tree(params: Params) -> Version:
    """What lies in the working folder, as the stages leave it."""
    return Version(params.model_dump(by_alias=True), origin.of_work_tree())


class TrainingRun(LiveRow):
    """The row of a model while it trains."""

    def __init__(self, params: Params, model: str) -> None:
        self._model = model
        self._version = work_tree(params)
        self._settings = content.training_settings(self._version, model)
        super().__init__(params.tracking, self._open, SYNC_ADDS_IT)

    def _open(self, store: Store) -> tuple[str, Part]:
        return rows.open_row(store, self._version, self._model, "stage"), self._settings

    def finish(self) -> None:
        """Completes the row from the files that training wrote."""
        results = content.training_results(self._version, self._model)
        with self.store_until_it_fails() as store:
            if store:
                rows.complete_row(store, self._version, self.run_id, self._model, self._settings, results)
        self.let_go()


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
    with never_costs_a_stage(params.tracking, SYNC_ADDS_IT):
        rows.add_part(opened(params.tracking), version, model, part)


def publish_comparison(params: Params) -> None:
    """The row of what the models' answers say together."""
    version = work_tree(params)
    with never_costs_a_stage(params.tracking, SYNC_ADDS_IT):
        part = content.comparison(version)  # it reads the weights, which the stage can do without
        add_comparison_row(opened(params.tracking), version, part, "stage")


def publish_card(params: Params, model: str) -> None:
    """Adds the model card to the row of the weights."""
    version = work_tree(params)
    part = content.card(version, model)
    with never_costs_a_stage(params.tracking, SYNC_ADDS_IT):
        rows.add_part(opened(params.tracking), version, model, part)


def publish_export(params: Params, model: str, timings: Mapping[str, float]) -> None:
    """Adds the network, its parity and its latencies to the row of the weights."""
    version = work_tree(params)
    part = content.export(version, model, timings)
    with never_costs_a_stage(params.tracking, SYNC_ADDS_IT):
        rows.add_part(opened(params.tracking), version, model, part)
