"""A search in this process: what it tries, what it resumes, and how it reports what is wrong."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import yaml
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from mnist_pipeline import paths
from mnist_pipeline.commands import sweep
from mnist_pipeline.commands.params_file import with_training, write_values
from mnist_pipeline.commands.search_space import Interval, load_search_space
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import load_params

ROOT = Path(__file__).parents[3]
SPACE: dict[str, Any] = {
    "learning_rate": {"low": 0.001, "high": 0.03, "log": True},
    "batch_size": {"low": 32, "high": 64, "log": False},
    "optimizer": {"choices": ["adamw", "sgd"]},
}


@dataclass
class Search:
    """A folder in which a search can run, and what it gave to MLflow."""

    closed: dict[int, str] = field(default_factory=dict)
    epochs: dict[int, list[float]] = field(default_factory=dict)
    best: list[tuple[Any, ...]] = field(default_factory=list)

    def set(self, space: Any = SPACE, **values: Any) -> None:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["train"] |= {"device": "cpu", "validation_share": 0.25}
        params["train"]["lenet"] |= {"epochs": 2, "batch_size": 64, "precision": "float32"} | values
        params["sweep"] |= {"random_trials": 3, "unpruned_epochs": 1}
        paths.PARAMS.write_text(yaml.safe_dump(params, sort_keys=False, width=1000))
        Path("sweeps/lenet.yaml").write_text(yaml.safe_dump(space))

    def run(self, trials: int, workers: int = 1, storage: str | None = None, write: bool = False) -> None:
        sweep.run(load_params(), "lenet", trials, workers, storage, write)

    def searched(self) -> sweep.Search:
        return sweep.Search(load_params(), "lenet", load_search_space("lenet"))

    def trials(self) -> list[FrozenTrial]:
        return self.searched().open_study(sweep.default_storage()).get_trials()


@pytest.fixture
def search(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    folder = tmp_path / "what? it's #1 & {now}"  # all of which mean something in the address of a database
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copytree(tiny_data, paths.RAW)
    shutil.copytree(ROOT / "src", "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "dvc.yaml", ".")
    paths.SWEEPS.mkdir()
    found = Search()

    class SearchRuns:
        def __init__(self, params: Any, model: str, searched: Any) -> None: ...

        def start_trial(self, params: Any, study: str, number: int) -> SimpleNamespace:
            epochs = found.epochs.setdefault(number, [])
            return SimpleNamespace(number=number, log_epoch=lambda row: epochs.append(row["validation_accuracy"]))

        def end_trial(self, run: SimpleNamespace, state: str) -> None:
            found.closed[run.number] = state

        def show_best(self, study: str, *values: Any) -> None:
            found.best.append(values)

    tracking: Any = ModuleType("sweeps")
    tracking.SearchRuns = SearchRuns
    monkeypatch.setitem(sys.modules, "mnist_pipeline.tracking.sweeps", tracking)
    found.set()
    return found


def test_a_search_resumes_to_more_trials_and_writes_the_best(search: Search, tmp_path: Path) -> None:
    for _ in range(2):
        search.run(3)
        assert sorted(search.closed) == [0, 1, 2]
    before = paths.PARAMS.read_text().splitlines()
    search.run(5, write=True)
    assert sorted(search.closed) == [0, 1, 2, 3, 4]
    number, chosen, accuracy = search.best[-1]
    complete = [number for number, state in search.closed.items() if state == "complete"]
    assert accuracy == search.epochs[number][-1] == max(search.epochs[number][-1] for number in complete)
    written = load_params().training("lenet")
    assert {key: getattr(written, key) for key in SPACE} == chosen
    assert len([line for line in paths.PARAMS.read_text().splitlines() if line not in before]) <= len(SPACE)
    search.run(5)  # what is searched makes no other study
    assert len(search.closed) == 5
    assert paths.STUDIES.is_file()
    assert [path.name for path in tmp_path.iterdir()] == [Path.cwd().name]


def test_a_study_holds_trials_of_the_same_code_parameters_and_space(search: Search) -> None:
    names = [search.searched().study_name()]
    search.set(learning_rate=0.7)  # it is searched
    sources = [Path("src/mnist_pipeline") / file for file in ("commands/sweep.py", "training/loop.py")]
    sources[0].write_text(f"{sources[0].read_text()}\n# a comment\n")
    assert search.searched().study_name() == names[0]
    for space, values in (
        (SPACE, {"epochs": 3}),
        (SPACE | {"batch_size": {"low": 32, "high": 65, "log": False}}, {}),
        ({"learning_rate": SPACE["learning_rate"]}, {}),
    ):
        search.set(space, **values)
        names.append(search.searched().study_name())
    sources[1].write_text(f"{sources[1].read_text()}\n# a comment\n")
    names.append(search.searched().study_name())
    assert len(set(names)) == 5


def test_bad_trials_are_pruned_or_diverge(search: Search) -> None:
    search.set({"learning_rate": {"choices": [0.01, 1e-9, 1e30]}}, epochs=4, ema_decay=0.0)
    study = search.searched().open_study(sweep.default_storage())
    for rate in [0.01] * 5 + [1e-9, 1e30]:  # Optuna prunes nothing before the sixth trial
        study.enqueue_trial({"learning_rate": rate})
    search.run(7)
    for trial in search.trials():
        diverged = trial.params["learning_rate"] == 1e30
        assert (search.closed[trial.number] == "diverged") == diverged
        assert trial.state == (TrialState.COMPLETE if search.closed[trial.number] == "complete" else TrialState.PRUNED)
    assert {"complete", "pruned", "diverged"} == set(search.closed.values())


def test_values_that_are_impossible_together_end_their_trial_alone(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choosy(params: Any, model: str, device: torch.device) -> Any:
        if params.training(model).architecture == {"activation": "tanh", "pooling": "average"}:
            raise PipelineError("not together")
        return prepare(params, model, device)

    prepare = sweep.prepare
    monkeypatch.setattr(sweep, "prepare", choosy)
    activation, pooling = {"choices": ["relu", "tanh"]}, {"choices": ["max", "average"]}
    search.set({"architecture.activation": activation, "architecture.pooling": pooling}, epochs=1)
    search.run(10)
    trials = search.trials()
    impossible = [trial for trial in trials if list(trial.params.values()) == ["tanh", "average"]]
    assert [trial for trial in trials if trial.user_attrs[sweep.END] == "impossible"] == impossible
    assert len(search.closed) == 10 - len(impossible) < 10


@pytest.mark.parametrize(
    ("space", "named"),
    [
        ({"learning_rat": {"choices": [1, 2]}}, "sweeps/lenet.yaml: train.lenet.learning_rat "),
        ({"epochs": {"low": 0, "high": 3, "log": False}}, "sweeps/lenet.yaml: train.lenet.epochs = 0"),
        ({"epochs": {"low": 3, "high": 3, "log": False}}, "epochs: low 3"),
        ({"weight_decay": {"low": 0, "high": 3, "log": True}}, "weight_decay: with log: true, low 0"),
        ({"architecture.activation": {"choices": ["relu", "gelu"]}}, "lenet.yaml: architecture.activation"),
        ({"epochs": {"low": 1, "high": 2}}, "epochs.log is missing"),
        ({"epochs": {"low": "1", "high": 2, "log": False}}, "epochs.low"),
        ({"epochs": {"choices": [1]}}, "epochs.choices"),
        ({"epochs": {"choices": [1, [2]]}}, "epochs.choices.1"),
        ({}, "lenet.yaml"),
        (None, "lenet.yaml"),
    ],
)
def test_a_wrong_space_is_named_before_anything_is_tried(search: Search, space: Any, named: str) -> None:
    search.set(space)
    if space is None:
        Path("sweeps/lenet.yaml").unlink()
    with pytest.raises(PipelineError) as raised:
        search.run(1)
    assert named in str(raised.value)
    assert not paths.STUDIES.exists()


def test_a_search_without_data_leaves_nothing_behind(search: Search) -> None:
    shutil.rmtree(paths.RAW)
    with pytest.raises(PipelineError, match=r"data/raw"):
        search.run(1)
    assert not paths.STUDIES.parent.exists()


@pytest.mark.parametrize(
    "storage",
    ["postgresql+psycopg://me:S3cret@127.0.0.1:1/trials", "nonsense://me:S3cret@host/trials", "password=S3cret", None],
)
def test_a_storage_that_cannot_be_used_is_one_line_without_its_password(storage: str | None, search: Search) -> None:
    paths.STUDIES.parent.write_text("no folder")
    with pytest.raises(PipelineError) as raised:
        search.run(1, storage=storage)
    message = str(raised.value)
    assert message.startswith("--storage" if storage else str(paths.STUDIES.resolve()))
    assert not any(text in message for text in ("\n", "password=S3cret", ":S3cret"))


def test_a_database_that_fails_during_the_search_is_one_line(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    class Training:
        def fit(self) -> Iterator[dict[str, float]]:
            paths.STUDIES.write_bytes(b"no database any more" * 1000)
            yield {"epoch": 1, "validation_accuracy": 0.5}

    monkeypatch.setattr(sweep, "prepare", lambda *values: Training())
    with pytest.raises(PipelineError, match="--storage") as raised:
        search.run(1)
    assert "\n" not in str(raised.value)


def test_workers_share_the_threads_and_take_one_gpu_each_in_turn(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []

    def start(command: list[str], env: dict[str, str]) -> SimpleNamespace:
        started.append((command, env))
        return SimpleNamespace(wait=lambda: 3)

    monkeypatch.setattr(psutil, "Popen", start)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    with pytest.raises(PipelineError, match="exit code 3"):
        search.run(5, workers=3, storage="sqlite:///S3cret.db")
    commands, environments = zip(*started, strict=True)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1", "0"]
    assert {(environment["OMP_NUM_THREADS"], environment["SWEEP_STORAGE"]) for environment in environments} == {
        ("2", "sqlite:///S3cret.db")
    }
    assert "S3cret" not in str(commands)
    started.clear()
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "5,7")
    with pytest.raises(PipelineError):
        search.run(2, workers=9)
    assert [environment["CUDA_VISIBLE_DEVICES"] for _, environment in started] == ["5", "7"]


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [(0.0123456, 0.001, 0.1, 0.01235), (0.999876, 0.9, 0.99988, 0.99988), (0.00100012, 0.00100011, 0.1, 0.00100011)],
)
def test_a_float_has_four_digits_and_stays_within_its_interval(value, low, high, expected) -> None:
    assert sweep.suggest(FixedTrial({"key": value}), "key", Interval(low=low, high=high, log=False)) == expected


def test_only_the_written_lines_of_params_yaml_change(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(text)
    write_values("train.lenet", {"augmentation.shear": 3.5, "epochs": 7}, path)
    lines = zip(path.read_text().splitlines(), text.splitlines(), strict=True)
    assert [line.strip() for line, before in lines if line != before] == ["epochs: 7", "shear: 3.5"]
    load_params(path)


@pytest.mark.parametrize("key", ["epoch", "augmentation.x", "epochs.x", ""])
def test_an_unknown_key_is_named(key: str) -> None:
    with pytest.raises(PipelineError, match=f"train.lenet.{key}"):
        with_training(load_params(ROOT / "params.yaml"), "lenet", {key: 1})
