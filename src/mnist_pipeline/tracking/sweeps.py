"""The rows of a search: one for the study, and below it one for each trial, in an experiment of their own."""

import json
from collections.abc import Mapping
from typing import Any

from mnist_pipeline.params import Params
from mnist_pipeline.tracking import content, runs
from mnist_pipeline.tracking.content import Part
from mnist_pipeline.tracking.live import LiveRow, never_costs_a_stage, opened
from mnist_pipeline.tracking.publish import work_tree
from mnist_pipeline.tracking.store import Store, open_experiment, saved_view

STUDY, TRIAL, STATE = "sweep.study", "sweep.trial", "sweep.state"
PARENT = "mlflow.parentRunId"
OTHERWISE = "the search goes on, and keeps its results in Optuna's storage"
ENDS = {"complete": "FINISHED", "pruned": "KILLED", "diverged": "FAILED", "stopped": "KILLED"}
"""How a trial ends, and what MLflow calls that."""


class TrialRow(LiveRow):
    """The row of one trial, below the row of its study."""

    def __init__(self, params: Params, model: str, study: str, number: int) -> None:
        self._params = params
        self._model = model
        self._study = study
        self._number = number
        super().__init__(params.tracking, self._open, OTHERWISE)

    def _open(self, store: Store) -> tuple[str, Part]:
        version = work_tree(self._params)
        experiment = _experiment(store, self._params, self._model)
        tags = {STUDY: self._study, TRIAL: str(self._number), **version.origin}
        tags[PARENT] = _study_row(store, experiment, self._study, self._model)
        run = store.client.create_run(experiment, run_name=f"trial {self._number}", tags=tags)
        return str(run.info.run_id), content.training_settings(version, self._model)

    def close(self, state: str) -> None:
        """Closes the row of a trial that came to one of `ENDS`."""
        self.end(ENDS[state], {STATE: state})


def publish_best(params: Params, model: str, study: str, number: int, best: Mapping[str, Any], accuracy: float) -> None:
    """Shows at the row of the study which of its trials is the best so far, and what it trained with."""
    with never_costs_a_stage(params.tracking, OTHERWISE):
        store = opened(params.tracking)
        row = _study_row(store, _experiment(store, params, model), study, model)
        runs.set_tags(store.client, row, {"sweep.best_trial": str(number), "sweep.best": json.dumps(dict(best))})
        runs.log_metrics(store.client, row, {"val/accuracy": accuracy})


def _experiment(store: Store, params: Params, model: str) -> str:
    """With a view of the trials of a model, the best first; in this order MLflow shows them without a click."""
    order = "metrics.`val/accuracy`"
    searched = (f"params.`{key}`" for key in params.sweep.space(model))
    view = saved_view(
        f"trials-{model}",
        f"Trials of {model}",
        [order, *searched, f"tags.`{STATE}`", f"tags.`{STUDY}`"],
        orderByKey=order,
        orderByAsc=False,
        searchFilter=f"params.model = '{model}' and tags.`{TRIAL}` != ''",
    )
    return open_experiment(store, f"{params.tracking.experiment}-sweeps", view)


def _study_row(store: Store, experiment: str, study: str, model: str) -> str:
    """The row of a study, which whoever comes first makes; the trials of all processes are below it."""
    with store.exclusive():
        found = runs.find_runs(store.client, experiment, {STUDY: study})
        if of_study := [row for row in found if PARENT not in row.data.tags]:
            return str(of_study[0].info.run_id)
        run_id = str(store.client.create_run(experiment, run_name=study, tags={STUDY: study}).info.run_id)
        runs.add(store.client, run_id, Part("sweep", {"model": model}))
        store.client.set_terminated(run_id, "FINISHED")  # whoever ends the search may not be who began it
        return run_id
