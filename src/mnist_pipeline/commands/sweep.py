"""Search for better parameters of one model, with Optuna; only the validation set decides.

Optuna's storage coordinates: the same command, started any number of times, on one machine or many, works on the same
study until it has the wished number of trials.
"""

import hashlib
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import psutil
import torch
from optuna.exceptions import ExperimentalWarning, OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import MaxTrialsCallback
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from mnist_pipeline import console, paths
from mnist_pipeline.commands.params_file import with_training, write_values
from mnist_pipeline.commands.search_space import Choices, Interval, load_search_space, space_path
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import check_writable
from mnist_pipeline.formats import directory_digest
from mnist_pipeline.models.build import build
from mnist_pipeline.params import Params
from mnist_pipeline.stages.train import PACKAGE, prepare, training_code_digest
from mnist_pipeline.training.devices import choose_device
from mnist_pipeline.training.loop import DivergedError

if TYPE_CHECKING:
    from mnist_pipeline.tracking.sweeps import SearchRuns

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
HEARTBEAT = 10
"""Seconds; a trial that was silent three times as long was killed, and another takes its place."""
CHOSEN, END = "chosen", "end"
"""What Optuna keeps of a trial: its parameters as rounded, and one of `tracking.sweeps.ENDS`, or impossible."""


def run(
    params: Params, model: str, trials: int, workers: int, storage: str | None, write: bool, summary: bool = True
) -> None:
    """Continue the search until `trials` trials are done; print the best, and with `write` keep it in params.yaml."""
    for library in (optuna.logging.get_logger("optuna"), logging.getLogger("sqlalchemy")):
        library.setLevel(logging.CRITICAL)  # what they have to say ends in one line of ours
    space, images = load_search_space(model), load_split(paths.RAW, "train").images
    source = space_path(model)
    for key, values in space.items():
        for value in values.choices if isinstance(values, Choices) else (values.low, values.high):
            try:
                changed = with_training(params, model, {key: value}, source)
                build(model, changed.training(model).architecture, images.shape[1:], classes=2)
            except ValueError as error:
                raise PipelineError(f"{source}: {key}: {error}") from error
    choose_device("train.device", params.train.device)
    search = Search(params, model, space)
    storage = storage or default_storage()
    with _storage_errors(ImportError, ValueError):  # the driver or the address
        study = search.open_study(storage)
    with _storage_errors():
        done = len(study.get_trials(deepcopy=False, states=DONE))
        if summary:
            console.info(f"sweep {model}: {done} of {trials} trials are done in the study {study.study_name}")
        if done < trials and workers > 1:
            _run_workers(model, trials, min(workers, trials - done), storage)
        elif done < trials:
            study.optimize(search.train, callbacks=[_report, MaxTrialsCallback(trials, states=DONE)])
        if summary:
            search.summarize(study, write)


def default_storage() -> str:
    path = (Path(os.environ.get("DVC_ROOT") or ".") / paths.STUDIES).resolve()
    check_writable(path)
    return URL.create("sqlite", database=str(path)).render_as_string()


@contextmanager
def _storage_errors(*others: type[Exception]) -> Iterator[None]:
    errors: tuple[type[Exception], ...] = (OptunaError, SQLAlchemyError, *others)
    try:
        yield
    except Exception as error:
        # Optuna 5.0 raises an UnboundLocalError of its own where its storage fails at the end of a trial
        cause = error.__context__ if isinstance(error, UnboundLocalError) else error
        if not isinstance(cause, errors):
            raise
        raise PipelineError(f"--storage: cannot be used ({one_line(cause)}): name a database that is there") from cause


def _run_workers(model: str, trials: int, workers: int, storage: str) -> None:
    """Run the same command several times; each has its share of the threads, and of several GPUs one in turn."""
    command = [sys.executable, str(PACKAGE), "sweep", model, "--trials", str(trials), "--no-summary"]
    environment = {**os.environ, "SWEEP_STORAGE": storage}  # in the command, others would see its password
    environment["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // workers))
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    gpus = visible or [str(gpu) for gpu in range(torch.cuda.device_count())] or [""]
    processes = [
        psutil.Popen(command, env=environment | {"CUDA_VISIBLE_DEVICES": gpus[worker % len(gpus)]})
        for worker in range(workers)
    ]
    try:
        failed = [code for process in processes if (code := process.wait())]
    except KeyboardInterrupt:
        _, alive = psutil.wait_procs(processes, timeout=10)
        for process in alive:  # Ctrl-C in a terminal reached them too; a signal to this process alone did not
            process.terminate()
        console.info(f"sweep {model}: stopped; the same command resumes with the trials that are left")
        raise
    if failed:
        raise PipelineError(f"a worker ended with exit code {failed[0]}: fix what it printed above, and start it again")


@dataclass(frozen=True)
class Search:
    """What is searched for a model."""

    params: Params
    model: str
    space: Mapping[str, Interval | Choices]

    @cached_property
    def runs(self) -> "SearchRuns":
        from mnist_pipeline.tracking.sweeps import SearchRuns  # MLflow takes seconds to import

        return SearchRuns(self.params, self.model, self.space)

    def study_name(self) -> str:
        """A digest of all that the results of the trials depend on, so that only like is compared with like."""
        lowest = {
            key: values.choices[0] if isinstance(values, Choices) else values.low for key, values in self.space.items()
        }
        train = with_training(self.params, self.model, lowest).train
        identity = {
            "code": training_code_digest(self.model),
            "torch": version("torch"),
            "data": directory_digest(paths.RAW),
            "sweep": self.params.sweep.model_dump(),
            "space": {key: values.model_dump() for key, values in self.space.items()},
            "train": train.model_dump(include={"seed", "validation_share", self.model}),
        }
        return f"{self.model}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]}"

    def open_study(self, storage: str, others: int = 3) -> optuna.Study:
        """The study, made where it is missing; the sampler has no seed, or all processes would try the same."""
        settings = self.params.sweep
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # of the heartbeat
                database = RDBStorage(storage, heartbeat_interval=HEARTBEAT, grace_period=3 * HEARTBEAT)
                return optuna.create_study(
                    storage=database,
                    study_name=self.study_name(),
                    direction="maximize",
                    load_if_exists=True,
                    sampler=optuna.samplers.TPESampler(n_startup_trials=settings.random_trials),
                    pruner=optuna.pruners.MedianPruner(n_warmup_steps=settings.unpruned_epochs),
                )
        except (IntegrityError, ProgrammingError, StorageInternalError):
            if not others:
                raise
            time.sleep(1)  # another machine made the same tables at this moment
            return self.open_study(storage, others - 1)

    def train(self, trial: Trial) -> float:
        """Train with what Optuna suggests; the validation accuracy of the last epoch."""
        chosen = {key: suggest(trial, key, values) for key, values in self.space.items()}
        trial.set_user_attr(CHOSEN, chosen)
        try:
            params = with_training(self.params, self.model, chosen)
            training = prepare(params, self.model, choose_device("train.device", params.train.device))
        except PipelineError as error:
            console.info(f"trial {trial.number}: {error}")
            trial.set_user_attr(END, "impossible")
            raise optuna.TrialPruned from error
        run = self.runs.start_trial(params, trial.study.study_name, trial.number)
        end = "stopped"
        try:
            for row in training.fit():
                run.log_epoch(row)
                trial.report(row["validation_accuracy"], int(row["epoch"]))
                if trial.should_prune():
                    end = "pruned"
                    raise optuna.TrialPruned
            end = "complete"
        except DivergedError as error:
            end = "diverged"
            raise optuna.TrialPruned from error
        finally:
            self.runs.end_trial(run, end)
            trial.set_user_attr(END, end)
        return row["validation_accuracy"]

    def summarize(self, study: optuna.Study, write: bool) -> None:
        """Print the best trials, show the best at the study's MLflow run, and write it into params.yaml on request."""
        complete = study.get_trials(states=[TrialState.COMPLETE])
        if not complete:
            raise PipelineError(f"no trial was complete: narrow the intervals of {space_path(self.model)}")
        complete.sort(key=lambda trial: trial.value or 0, reverse=True)
        rows = [(str(trial.number), f"{trial.value:.2%}", _chosen(trial)) for trial in complete[:5]]
        done = len(study.get_trials(deepcopy=False, states=DONE))
        console.table(f"The best of {done} trials", ("trial", "validation accuracy", "parameters"), rows)
        best, section = complete[0], f"train.{self.model}"
        chosen = best.user_attrs[CHOSEN]
        self.runs.show_best(study.study_name, best.number, chosen, best.value or 0)
        if write:
            write_values(section, chosen)
            console.info(f"{paths.PARAMS}: {section} has the parameters of trial {best.number}; next: make repro")


def suggest(trial: BaseTrial, key: str, values: Interval | Choices) -> Any:
    """What Optuna suggests; a float has four digits, so that params.yaml shows what was tried, within its interval."""
    if isinstance(values, Choices):
        return trial.suggest_categorical(key, values.choices)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    value = trial.suggest_float(key, values.low, values.high, log=values.log)
    return min(max(float(f"{value:.4g}"), values.low), values.high)


def _chosen(trial: FrozenTrial) -> str:
    return "  ".join(f"{key}={value}" for key, value in trial.user_attrs[CHOSEN].items())


def _report(study: optuna.Study, trial: FrozenTrial) -> None:
    """Print a line for a trial when the storage has it."""
    accuracies = [f"{accuracy:.2%}" for accuracy in trial.intermediate_values.values()] or ["no epoch"]
    console.info(f"trial {trial.number:3}  {accuracies[-1]:>8}  {trial.user_attrs[END]}  {_chosen(trial)}")
