"""Searches for better parameters of one model, with Optuna; the validation images alone judge."""

import hashlib
import json
import math
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

import mnist_pipeline
from mnist_pipeline import console, paths
from mnist_pipeline.devices import choose_device
from mnist_pipeline.errors import PipelineError, in_one_line
from mnist_pipeline.files import directory_digest, tree_digest
from mnist_pipeline.params import Choices, Interval, Params, with_training, write_training
from mnist_pipeline.stages.train import prepare
from mnist_pipeline.tracking.address import without_secrets
from mnist_pipeline.training.loop import DivergedError

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
HEARTBEAT_SECONDS = 10
"""A trial that has been silent three times as long was killed; it does not count, and another takes its place."""
END = "end"
"""What a trial came to, of `tracking.sweeps.ENDS`."""
SHOWN = 5
"""Trials in the table at the end."""


@dataclass(frozen=True)
class Search:
    """One search: what is searched, how many trials, and where Optuna keeps them."""

    params: Params
    model: str
    trials: int
    storage: str
    study: str

    def open(self, seed: int) -> optuna.Study:
        """The study, made where it is missing; `seed` draws what a process tries next."""
        settings = self.params.sweep
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the heartbeat
            storage = RDBStorage(self.storage, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=3 * HEARTBEAT_SECONDS)
        return optuna.create_study(
            storage=storage,
            study_name=self.study,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=settings.random_trials),
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=settings.unpruned_epochs),
        )


def run(params: Params, model: str, trials: int, workers: int, storage: str | None, write: bool) -> None:
    """Goes on with the search until `trials` trials are done, tells the best, and with `write` keeps it.

    Raises:
        PipelineError: the space, the storage or the data is not usable.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = params.sweep.space(model)
    for key, values in space.items():  # a wrong key or bound ends the search before it begins
        for value in values.choices if isinstance(values, Choices) else (values.low, values.high):
            with_training(params, model, {key: value})
    choose_device("train.device", params.train.device)
    search = Search(params, model, trials, storage or _default_storage(), _study_name(params, model))
    study = _opened(search)
    left = trials - _done(study)
    console.say(f"sweep {model}: {_done(study)} of {trials} trials are done in the study {search.study}")
    if left > 0:
        _work(search, min(workers, left), left, begun=len(study.get_trials()))
    _tell(search, study, write)


def _default_storage() -> str:
    path = (Path(os.environ.get("DVC_ROOT") or ".") / paths.SWEEPS).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


def _study_name(params: Params, model: str) -> str:
    """A digest of all that the results of the trials depend on, so that trials are compared with their like alone."""
    package = Path(mnist_pipeline.__path__[0])
    unsearched = with_training(
        params, model, {key: _lowest(values) for key, values in params.sweep.space(model).items()}
    )
    origin = {
        "code": [tree_digest(package / room, "*.py") for room in ("training", "models", "data")],
        "data": directory_digest(paths.RAW),
        "sweep": params.sweep.model_dump(include={"random_trials", "unpruned_epochs", model}),
        "train": unsearched.train.model_dump(include={"seed", "validation_size", model}),
    }
    return f"{model}-{hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:8]}"


def _opened(search: Search) -> optuna.Study:
    try:
        return search.open(seed=0)
    except (OptunaError, SQLAlchemyError, ImportError) as error:
        told = without_secrets(in_one_line(error))
        raise PipelineError(f"--storage: cannot be used ({told}): name a database that is there") from error


def _work(search: Search, workers: int, left: int, begun: int) -> None:
    """Runs trials in several processes, each with its share of the cores, until `left` more are done.

    `begun` trials have been tried before: with them another seed follows, so that none is tried twice.
    """
    context = multiprocessing.get_context("spawn")
    permits = context.Semaphore(left)
    threads = max(1, (os.cpu_count() or 1) // workers)
    processes = [
        context.Process(target=_run_trials, args=(search, permits, threads, begun * workers + worker))
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.join()
        console.say(f"sweep {search.model}: stopped; the same command goes on with the trials that are left")
        raise
    if failed := [process.exitcode for process in processes if process.exitcode]:
        how = f"exit code {failed[0]}" if failed[0] > 0 else signal.Signals(-failed[0]).name
        raise PipelineError(f"a worker ended with {how}: mend what it says above; the same command goes on")


def _run_trials(search: Search, permits: Semaphore, threads: int, seed: int) -> None:
    import torch

    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    torch.set_num_threads(threads)
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        study = search.open(search.params.train.seed + seed)
        while permits.acquire(block=False) and _done(study) < search.trials:
            study.optimize(partial(_try, search), n_trials=1, callbacks=[_say])
    except BaseException as error:
        if stopped:  # whatever Optuna, in the middle of its work, makes of it
            sys.exit(0)
        if isinstance(error, PipelineError):
            sys.exit(f"error: {error}")
        raise


def _done(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=DONE))


def _try(search: Search, trial: Trial) -> float:
    """Trains with what Optuna suggests; the validation accuracy of the last epoch.

    Raises:
        TrialPruned: after an epoch that is worse than most trials were then, or where the loss is no number.
    """
    from mnist_pipeline.tracking.sweeps import TrialRow

    chosen = {key: _suggest(trial, key, values) for key, values in search.params.sweep.space(search.model).items()}
    params = with_training(search.params, search.model, chosen)
    row = TrialRow(params, search.model, search.study, trial.number)
    end = "stopped"
    accuracy = math.nan
    try:
        for epoch in prepare(params, search.model, choose_device("train.device", params.train.device)).epochs():
            accuracy = epoch.validation_accuracy
            row.log_epoch(epoch.epoch, asdict(epoch))
            trial.report(accuracy, epoch.epoch)
            if trial.should_prune():
                end = "pruned"
                raise optuna.TrialPruned
        end = "complete"
    except DivergedError as error:
        end = "diverged"
        raise optuna.TrialPruned from error
    finally:
        trial.set_user_attr(END, end)
        row.close(end)
    return accuracy


def _say(study: optuna.Study, trial: FrozenTrial) -> None:
    """Tells of a trial when the storage has it."""
    accuracy = list(trial.intermediate_values.values())[-1:] or [math.nan]
    console.say(f"trial {trial.number:3d}  {accuracy[0]:.2%}  {trial.user_attrs[END]}  {_told(_chosen(trial))}")


def _suggest(trial: Trial, key: str, values: Interval | Choices) -> Any:
    if isinstance(values, Choices):
        return trial.suggest_categorical(key, values.choices)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    return _rounded(trial.suggest_float(key, values.low, values.high, log=values.log))


def _lowest(values: Interval | Choices) -> Any:
    return values.choices[0] if isinstance(values, Choices) else values.low


def _rounded(value: Any) -> Any:
    """Three digits of a float, so that whoever reads params.yaml sees what was tried."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _tell(search: Search, study: optuna.Study, write: bool) -> None:
    """Prints the best trials, shows the best at the study's row in MLflow, and keeps it on request.

    Raises:
        PipelineError: no trial came to its end.
    """
    from mnist_pipeline.tracking.sweeps import publish_best

    complete = sorted(study.get_trials(states=[TrialState.COMPLETE]), key=_accuracy, reverse=True)
    if not complete:
        raise PipelineError("no trial came to its end: narrow the intervals of sweep in params.yaml")
    rows = [(str(trial.number), f"{_accuracy(trial):.2%}", _told(_chosen(trial))) for trial in complete[:SHOWN]]
    console.table(f"The best of {_done(study)} trials", ("trial", "validation accuracy", "parameters"), rows)
    best = complete[0]
    publish_best(search.params, search.model, search.study, best.number, _chosen(best), _accuracy(best))
    if write:
        write_training(search.model, _chosen(best))
        console.say(f"{paths.PARAMS}: train.{search.model} has the parameters of trial {best.number}; next: make repro")


def _accuracy(trial: FrozenTrial) -> float:
    assert trial.value is not None  # every trial here is complete
    return trial.value


def _chosen(trial: FrozenTrial) -> dict[str, Any]:
    return {key: _rounded(value) for key, value in trial.params.items()}


def _told(chosen: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={value}" for key, value in chosen.items())
