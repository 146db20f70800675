"""The runs of a search: one for the study, and below it one for each trial, in an experiment of their own."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mnist_pipeline.params import Params
from mnist_pipeline.tracking import runs, views
from mnist_pipeline.tracking.publish import Breaker, LiveRun
from mnist_pipeline.tracking.results import of_work_tree
from mnist_pipeline.tracking.store import Store, open_experiment

STUDY, TRIAL, STATE, PARENT = "sweep.study", "sweep.trial", "sweep.state", "mlflow.parentRunId"
OTHERWISE = "the search continues, and keeps its results in Optuna's storage"
ENDS = {"complete": "FINISHED", "pruned": "KILLED", "diverged": "FAILED", "stopped": "KILLED"}
"""How a trial ends, and MLflow's word for that."""


class SearchRuns:
    """The runs of a search in this process, which calls MLflow no more once it failed, whichever trial met that.

    `searched` are the keys of the search space.
    """

    def __init__(self, params: Params, model: str, searched: Iterable[str]) -> None:
        self._model, self._searched = model, searched
        self._breaker = Breaker(params.tracking, OTHERWISE)

    def start_trial(self, params: Params, study: str, number: int) -> LiveRun:
        """The run of one trial, below that of its study; each trial has the whole time budget."""

        def begin(store: Store) -> str:
            experiment, parent = self._open(store, study)
            tags, name = {STUDY: study, TRIAL: str(number), PARENT: parent}, f"trial {number}"
            return runs.start_training(store, of_work_tree(params), self._model, experiment, name, tags)

        self._breaker.renew()
        return LiveRun(self._breaker, begin)

    def end_trial(self, run: LiveRun, state: str) -> None:
        """Close the run of a trial that came to one of `ENDS`."""
        run.end(ENDS[state], {STATE: state})

    def show_best(self, study: str, number: int, best: Mapping[str, Any], accuracy: float) -> None:
        """Show at the run of the study which of its trials is the best so far, and what it trained with."""

        def write(store: Store) -> None:
            _, run_id = self._open(store, study)
            runs.set_tags(store.client, run_id, {"sweep.best_trial": str(number), "sweep.best": json.dumps(dict(best))})
            runs.log_metrics(store.client, run_id, {"validation_accuracy": accuracy})

        self._breaker.renew()
        self._breaker.call(write)

    def _open(self, store: Store, study: str) -> tuple[str, str]:
        """The ids of the experiment and of the study's run, which its first process makes.

        A view of the trials of a model has the best first; with its columns in this order MLflow shows them at once.
        """
        tried = [*(f"params.`{key}`" for key in self._searched), f"tags.`{STATE}`", f"tags.`{STUDY}`"]
        table = views.best_first("validation_accuracy", ["metrics.`validation_accuracy`", *tried])
        table["searchFilter"] = f"params.model = '{self._model}' and tags.`{TRIAL}` != ''"
        view = views.saved_view(f"trials-{self._model}", f"Trials of {self._model}", table)
        experiment = open_experiment(store, f"{store.name}-sweeps", view)
        with store.exclusive():
            for run in runs.find_runs(store.client, experiment, {STUDY: study}):
                if PARENT not in run.data.tags:
                    return experiment, str(run.info.run_id)
            run_id = runs.create_run(store, experiment, study, {STUDY: study})
            store.client.log_param(run_id, "model", self._model)
            store.client.set_terminated(run_id, "FINISHED")  # another process may end the search
            return experiment, run_id
