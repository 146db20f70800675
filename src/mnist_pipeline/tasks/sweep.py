"""Searches for better parameters of one model, with Optuna; the validation images alone judge."""

import hashlib
import json
import logging
import math
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
import torch
from optuna.exceptions import ExperimentalWarning, OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

import mnist_pipeline
from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.devices import choose_device
from mnist_pipeline.errors import PipelineError, in_one_line
from mnist_pipeline.files import demand_writable, directory_digest, tree_digest
from mnist_pipeline.models import build
from mnist_pipeline.params import Choices, Interval, Params
from mnist_pipeline.stages.train import prepare
from mnist_pipeline.tasks.changes import with_training, write_values
from mnist_pipeline.tracking.address import without_secrets
from mnist_pipeline.training.loop import DivergedError
from mnist_pipeline.training.team import ending_with_parent

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
HEARTBEAT_SECONDS = 10
"""A trial that has been silent three times as long was killed; it does not count, and another takes its place."""
END = "end"
"""What a trial came to, of `tracking.sweeps.ENDS`, or that its values were impossible together."""
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

    @property
    def space(self) -> dict[str, Interval | Choices]:
        return self.params.sweep.space(self.model)

    def open(self) -> optuna.Study:
        """The study, made where it is missing. Each process draws from a seed of its own, or all would try the same."""
        settings = self.params.sweep
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the heartbeat
            storage = RDBStorage(self.storage, heartbeat_interval=HEARTBEAT_SECONDS, grace_period=3 * HEARTBEAT_SECONDS)
        return optuna.create_study(
            storage=storage,
            study_name=self.study,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(n_startup_trials=settings.random_trials),
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=settings.unpruned_epochs),
        )


def run(params: Params, model: str, trials: int, workers: int, storage: str | None, write: bool) -> None:
    """Goes on with the search until `trials` trials are done, tells the best, and with `write` keeps it.

    Raises:
        PipelineError: the space, the storage or the data is not usable.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _check_space(params, model)
    choose_device("train.device", params.train.device)
    load_split(paths.RAW, "train")
    search = Search(params, model, trials, storage or _default_storage(), _study_name(params, model))
    study = _opened(search)
    left = trials - _done(study)
    console.say(f"sweep {model}: {_done(study)} of {trials} trials are done in the study {search.study}")
    if left > 0:
        _work(search, min(workers, left), left)
    _tell(search, study, write)


def _check_space(params: Params, model: str) -> None:
    """Finds out before the search whether each value can be trained with, the others being as they are."""
    for key, values in params.sweep.space(model).items():
        for value in values.choices if isinstance(values, Choices) else (values.low, values.high):
            tried = with_training(params, model, {key: value})
            try:
                build(model, tried.training(model).architecture, classes=2)
            except ValueError as error:
                raise PipelineError(f"{paths.PARAMS}: sweep.{model}.{key}: {error}") from error


def _default_storage() -> str:
    path = (Path(os.environ.get("DVC_ROOT") or ".") / paths.SWEEPS).resolve()
    demand_writable(path)
    return f"sqlite:///{path}"


def _study_name(params: Params, model: str) -> str:
    """A digest of all that the results of the trials depend on, so that trials are compared with their like alone."""
    unsearched = with_training(
        params, model, {key: _lowest(values) for key, values in params.sweep.space(model).items()}
    )
    origin = {
        "code": tree_digest(Path(mnist_pipeline.__path__[0]), "*.py"),
        "torch": version("torch"),
        "data": directory_digest(paths.RAW),
        "sweep": params.sweep.model_dump(include={"random_trials", "unpruned_epochs", model}),
        "train": unsearched.train.model_dump(include={"seed", "validation_size", model}),
    }
    return f"{model}-{hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:8]}"


def _opened(search: Search, others: int = 3) -> optuna.Study:
    """The study; where another machine makes the same tables at this moment, one of the two has to try again."""
    try:
        return search.open()
    except (OptunaError, SQLAlchemyError, ImportError, ValueError) as error:
        if isinstance(error, IntegrityError | ProgrammingError | StorageInternalError) and others:
            time.sleep(1)
            return _opened(search, others - 1)
        told = without_secrets(in_one_line(error))
        raise PipelineError(f"--storage: cannot be used ({told}): name a database that is there") from error


def _work(search: Search, workers: int, left: int) -> None:
    """Runs trials in several processes, each with its share of the threads, until `left` more are done."""
    context = multiprocessing.get_context("spawn")
    permits = context.Semaphore(left)
    threads = max(1, torch.get_num_threads() // workers)
    processes = [
        context.Process(target=_run_trials, args=(search, permits, threads, worker)) for worker in range(workers)
    ]
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until they can end in one line, while they import
    for process in processes:
        process.start()
    signal.signal(signal.SIGINT, interrupt)
    try:
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        while any(process.is_alive() for process in processes):
            for process in processes:
                if process.is_alive() and process.pid:
                    os.kill(process.pid, signal.SIGINT)
                process.join(0.2)
        console.say(f"sweep {search.model}: stopped; the same command goes on with the trials that are left")
        raise
    if failed := [process.exitcode for process in processes if process.exitcode]:
        how = f"exit code {failed[0]}" if failed[0] > 0 else signal.Signals(-failed[0]).name
        raise PipelineError(
            f"a worker ended with {how}: mend what it says above; the same command goes on, unless what is mended is "
            "the space, a parameter or the code, which begins a search of its own"
        )


def _run_trials(search: Search, permits: Semaphore, threads: int, worker: int) -> None:
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)  # it tells of connections that Ctrl-C breaks
    _take_share(search.params, worker, threads)
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with ending_with_parent():
            study = search.open()
            while permits.acquire(block=False) and _done(study) < search.trials:
                study.optimize(partial(_try, search), n_trials=1, callbacks=[partial(_say, search)])
    except BaseException as error:
        if stopped:  # whatever Optuna, in the middle of its work, makes of it
            sys.exit(0)
        if isinstance(error, PipelineError | OptunaError | SQLAlchemyError):
            sys.exit(f"error: {without_secrets(in_one_line(error))}")
        raise


def _take_share(params: Params, worker: int, threads: int) -> None:
    """Of the cores, and of several GPUs one in turn."""
    torch.set_num_threads(threads)
    if choose_device("train.device", params.train.device).type == "cuda":
        torch.cuda.set_device(worker % torch.cuda.device_count())


def _done(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=DONE))


def _try(search: Search, trial: Trial) -> float:
    """Trains with what Optuna suggests; the validation accuracy of the last epoch.

    Raises:
        TrialPruned: after an epoch that is worse than most trials were then, or where the loss is no number, or where
            the values are not allowed together.
    """
    from mnist_pipeline.tracking.sweeps import TrialRow

    chosen = {key: _suggest(trial, key, values) for key, values in search.space.items()}
    try:
        params = with_training(search.params, search.model, chosen)
    except PipelineError as error:
        console.say(f"trial {trial.number}: {error}")
        trial.set_user_attr(END, "impossible")
        raise optuna.TrialPruned from error
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


def _say(search: Search, study: optuna.Study, trial: FrozenTrial) -> None:
    """Tells of a trial when the storage has it."""
    accuracies = [f"{accuracy:.2%}" for accuracy in trial.intermediate_values.values()] or ["no epoch"]
    told = _told(_chosen(trial, search.space))
    console.say(f"trial {trial.number:3d}  {accuracies[-1]:>8}  {trial.user_attrs[END]}  {told}")


def _suggest(trial: Trial, key: str, values: Interval | Choices) -> Any:
    if isinstance(values, Choices):
        return trial.suggest_categorical(key, values.choices)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    return rounded(trial.suggest_float(key, values.low, values.high, log=values.log), values)


def _lowest(values: Interval | Choices) -> Any:
    return values.choices[0] if isinstance(values, Choices) else values.low


def rounded(value: Any, within: Interval | Choices) -> Any:
    """Four digits of a float, so that whoever reads params.yaml sees what was tried; never beyond the interval."""
    if isinstance(within, Interval) and isinstance(value, float):
        return min(max(float(f"{value:.4g}"), within.low), within.high)
    return value


def _tell(search: Search, study: optuna.Study, write: bool) -> None:
    """Prints the best trials, shows the best at the study's row in MLflow, and keeps it on request.

    Raises:
        PipelineError: no trial came to its end.
    """
    from mnist_pipeline.tracking.sweeps import publish_best

    complete = sorted(study.get_trials(states=[TrialState.COMPLETE]), key=_accuracy, reverse=True)
    if not complete:
        raise PipelineError("no trial came to its end: narrow the intervals of sweep in params.yaml")
    rows = [
        (str(trial.number), f"{_accuracy(trial):.2%}", _told(_chosen(trial, search.space)))
        for trial in complete[:SHOWN]
    ]
    console.table(f"The best of {_done(study)} trials", ("trial", "validation accuracy", "parameters"), rows)
    best = complete[0]
    publish_best(search.params, search.model, search.study, best.number, _chosen(best, search.space), _accuracy(best))
    if write:
        write_values(f"train.{search.model}", _chosen(best, search.space))
        console.say(f"{paths.PARAMS}: train.{search.model} has the parameters of trial {best.number}; next: make repro")


def _accuracy(trial: FrozenTrial) -> float:
    assert trial.value is not None  # every trial here is complete
    return trial.value


def _chosen(trial: FrozenTrial, space: Mapping[str, Interval | Choices]) -> dict[str, Any]:
    return {key: rounded(value, space[key]) for key, value in trial.params.items()}


def _told(chosen: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={value}" for key, value in chosen.items())
