"""The runs of a search: a study, and its trials below it."""

import json

import pytest

from mnist_pipeline.tracking.sweeps import SearchRuns

KEYS = ("learning_rate", "augmentation.rotation")


def test_trials_are_below_their_study_which_shows_the_best(tracked, warnings) -> None:
    search = SearchRuns(tracked.params, "lenet", KEYS)
    for number, (state, accuracy) in enumerate({"complete": 0.75, "pruned": 0.25}.items()):
        trial = search.start_trial(tracked.params, "lenet-12345678", number)
        trial.log_epoch({"epoch": 1, "validation_accuracy": accuracy})
        search.end_trial(trial, state)
    search.show_best("lenet-12345678", 0, dict.fromkeys(KEYS, 1), 0.75)

    runs = {run.info.run_name: run for run in tracked.runs("-sweeps")}
    study, *trials = runs["lenet-12345678"], runs["trial 0"], runs["trial 1"]
    assert [trial.info.status for trial in trials] == ["FINISHED", "KILLED"]
    assert {trial.data.tags["mlflow.parentRunId"] for trial in trials} == {study.info.run_id}
    assert [tracked.history(trial, "validation_accuracy") for trial in trials] == [[(1, 0.75)], [(1, 0.25)]]
    assert trials[0].data.params["learning_rate"] == str(tracked.params.training("lenet").learning_rate)
    assert (study.info.status, study.data.metrics) == ("FINISHED", {"validation_accuracy": 0.75})
    assert json.loads(study.data.tags["sweep.best"]) == dict.fromkeys(KEYS, 1)
    view = tracked.store.client.get_experiment_by_name("mnist-pipeline-sweeps").tags[
        "mlflow.sharedViewState.trials-lenet"
    ]
    assert all(f"params.`{key}`" in json.loads(view)["state"] for key in KEYS)
    assert (tracked.runs(), warnings()) == ([], [])


def test_a_search_without_a_store_calls_it_once(tracked, monkeypatch: pytest.MonkeyPatch, warnings) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    search = SearchRuns(tracked.params, "lenet", KEYS)
    for number in range(2):
        trial = search.start_trial(tracked.params, "lenet-12345678", number)
        trial.log_epoch({"epoch": 1, "validation_accuracy": 0.5})
        search.end_trial(trial, "complete")
    search.show_best("lenet-12345678", 0, {}, 0.5)
    assert len(warnings()) == 1
