"""What a search tries can be read, lies within its bounds, and reaches params.yaml without touching the rest."""

from pathlib import Path

import pytest
import torch

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import Choices, Interval, load_params
from mnist_pipeline.tasks import sweep
from mnist_pipeline.tasks.changes import with_training, write_values
from mnist_pipeline.tasks.sweep import rounded
from mnist_pipeline.tracking.address import without_secrets


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.0123456, 0.001, 0.1, 0.01235),
        (0.99998, 0.9, 0.9999, 0.9999),
        (0.00100001, 0.0010001, 0.1, 0.0010001),
        (3, 1, 9, 3),
    ],
)
def test_a_float_has_four_digits_and_stays_within_its_interval(value, low, high, expected) -> None:
    assert rounded(value, Interval(low=low, high=high, log=False)) == expected


def test_a_choice_is_as_it_was_given() -> None:
    assert rounded(0.123456, Choices(choices=[0.123456, 1.0])) == 0.123456


def test_nothing_written_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = Path("params.yaml").read_text()
    path.write_text(text)
    write_values("train.lenet", {}, path)
    assert path.read_text() == text
    write_values("train.lenet", {"augmentation.shear": 3.5, "epochs": 7}, path)
    changed = [
        line for line, before in zip(path.read_text().splitlines(), text.splitlines(), strict=True) if line != before
    ]
    assert changed == ["    epochs: 7", "      shear: 3.5"]
    load_params(path)


@pytest.mark.parametrize("key", ["epoch", "augmentation", "augmentation.x", "epochs.x", "", "architecture.layers"])
def test_a_key_that_is_none_is_named(key: str) -> None:
    with pytest.raises(PipelineError, match=f"train.lenet.{key}"):
        with_training(load_params(), "lenet", {key: 1})


def test_a_search_of_a_model_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        Path("params.yaml").read_text().replace("\nsweep:", "\nsweep:\n  lenett: {epochs: {choices: [1, 2]}}")
    )
    with pytest.raises(PipelineError, match=r"sweep\.lenett: there is no section train\.lenett"):
        load_params(path)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ("{low: 1, high: 2}", "sweep.mlp.learning_rate.log is missing"),
        ("{low: 1, hi: 2, log: false}", "sweep.mlp.learning_rate.high is missing; sweep.mlp.learning_rate.hi is not"),
        ("{low: '1', high: 2, log: false}", "sweep.mlp.learning_rate.low: expected a number, not '1'"),
        ("{low: 2, high: 1, log: false}", "sweep.mlp.learning_rate: low 2 must be less than high 1"),
        ("{choices: [1]}", "sweep.mlp.learning_rate.choices = [1]: List should have at least 2 items"),
        ("{choices: [1, [2]]}", "sweep.mlp.learning_rate.choices.1: expected a number or a word, not [2]"),
        ("[1, 2]", "sweep.mlp.learning_rate = [1, 2]: expected keys with values"),
    ],
)
def test_a_wrong_space_is_told_in_the_words_of_the_file(values: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = Path("params.yaml").read_text()
    path.write_text(text.replace("learning_rate: {low: 0.0003, high: 0.005, log: true}", f"learning_rate: {values}"))
    with pytest.raises(PipelineError) as raised:
        load_params(path)
    assert str(raised.value).startswith(f"{path}: {told}")


def test_a_misspelt_key_of_all_searches_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(Path("params.yaml").read_text().replace("random_trials:", "random_trial:"))
    with pytest.raises(PipelineError, match=r"sweep\.random_trials is missing; sweep\.random_trial is not a known key"):
        load_params(path)


def test_workers_take_one_gpu_each_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(sweep, "choose_device", lambda key, name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    for worker in range(3):
        sweep._take_share(load_params(), worker, 1)
    assert taken == [0, 1, 0]


@pytest.mark.parametrize(
    "address", ["postgresql://me:secret@host/db", "postgresql://me:se/cret@host/db", "https://me:s@cret@host"]
)
def test_no_part_of_a_password_is_told(address: str) -> None:
    told = without_secrets(f"cannot reach {address}: refused")
    assert "cret" not in told
    assert "me:" not in told
    assert told.startswith("cannot reach ")
    assert "host" in told
