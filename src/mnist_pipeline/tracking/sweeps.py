"""The runs of a search: one for the study, and below it one for each trial, in an experiment of their own."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mnist_pipeline.params import Params
from mnist_pipeline.tracking import runs
from mnist_pipeline.tracking.publish import Breaker, LiveRun
from mnist_pipeline.tracking.results import of_work_tree
from mnist_pipeline.tracking.store import Store, open_experiment, saved_view

STUDY, TRIAL, STATE, PARENT = "sweep.study", "sweep.trial", "sweep.state", "mlflow.parentRunId"
OTHERWISE = "the search continues, and keeps its results in Optuna's storage"
ENDS = {"complete": "FINISHED", "pruned": "KILLED", "diverged": "FAILED", "stopped": "KILLED"}
"""How a trial ends, and MLflow's word for that."""


class TrialRun(LiveRun):
    """The run of one trial, below the run of its study; `searched` are the keys of the search space."""

    def __init__(self, params: Params, model: str, study: str, number: int, searched: Iterable[str]) -> None:
        def begin(store: Store) -> str:
            experiment = _experiment(store, model, searched)
            tags = {STUDY: study, TRIAL: str(number), PARENT: _study_run(store, experiment, study, model)}
            return runs.start_training(store, of_work_tree(params), model, experiment, f"trial {number}", tags)

        super().__init__(Breaker(params.tracking, OTHERWISE), begin)

    def close(self, state: str) -> None:
        """Close the run of a trial that came to one of `ENDS`."""
        self.end(ENDS[state], {STATE: state})


def publish_best(params: Params, model: str, study: str, number: int, best: Mapping[str, Any], accuracy: float) -> None:
    """Show at the run of the study which of its trials is the best so far, and what it trained with."""

    def write(store: Store) -> None:
        run_id = _study_run(store, _experiment(store, model, best), study, model)
        runs.set_tags(store.client, run_id, {"sweep.best_trial": str(number), "sweep.best": json.dumps(dict(best))})
        runs.log_metrics(store.client, run_id, {"validation_accuracy": accuracy})

    Breaker(params.tracking, OTHERWISE).call(write)


def _experiment(store: Store, model: str, searched: Iterable[str]) -> str:
    """With a view of the trials of a model, the best first; in this order MLflow shows them without a click."""
    order = "metrics.`validation_accuracy`"
    view = saved_view(
        f"trials-{model}",
        f"Trials of {model}",
        [order, *(f"params.`{key}`" for key in searched), f"tags.`{STATE}`", f"tags.`{STUDY}`"],
        orderByKey=order,
        orderByAsc=False,
        searchFilter=f"params.model = '{model}' and tags.`{TRIAL}` != ''",
    )
    return open_experiment(store, f"{store.name}-sweeps", view)


def _study_run(store: Store, experiment: str, study: str, model: str) -> str:
    """The run of a study, which its first process makes; the trials of all processes are below it."""
    with store.exclusive():
        for run in runs.find_runs(store.client, experiment, {STUDY: study}):
            if PARENT not in run.data.tags:
                return str(run.info.run_id)
        run_id = runs.create_run(store, experiment, study, {STUDY: study})
        store.client.log_param(run_id, "model", model)
        store.client.set_terminated(run_id, "FINISHED")  # another process may end the search
        return run_id
