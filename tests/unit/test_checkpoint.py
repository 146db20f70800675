"""A training that was killed goes on as if nothing had happened, from its own checkpoint alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.training.checkpoint import KEPT, Checkpoints, Snapshot
from mnist_pipeline.training.loop import Examples, Recipe, fit
from mnist_pipeline.training.state import Epoch
from recipes import PLAIN

ROOT = Path(__file__).parents[2]
RECIPE = replace(PLAIN, epochs=4, batch_size=5, optimizer="sgd", learning_rate=0.1, weight_decay=0.0, schedule="linear")


@pytest.fixture(autouse=True)
def same_first_weights() -> None:
    torch.manual_seed(0)


def examples() -> Examples:
    images = torch.randint(0, 256, (100, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return Examples(images, images[:, 0, 0].long() % 2)


def network() -> nn.Module:
    class Scaled(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = super().forward(images.float() / 255)
            return result

    torch.manual_seed(0)
    return Scaled(nn.Flatten(), nn.Linear(16, 2))


def begin(
    model: nn.Module,
    checkpoints: Checkpoints | None,
    recipe: Recipe = RECIPE,
    advance: Callable[[int], None] = lambda amount: None,
) -> Iterator[Epoch]:
    return fit(model, examples(), examples(), recipe, 1, advance, checkpoints)


def kept(folder: Path, origin: dict[str, Any] | None = None, seconds: float = 1000) -> Checkpoints:
    return Checkpoints(folder, origin or {"code": "a"}, warn=pytest.fail, seconds=seconds)


def stop_after(folder: Path, epochs: int, recipe: Recipe = RECIPE) -> None:
    training = begin(network(), kept(folder), recipe)
    for _ in range(epochs):
        next(training)
    training.close()


def test_a_training_killed_twenty_times_gives_the_same_bytes(tmp_path: Path) -> None:
    """At random moments, in the middle of steps and of checkpoints; the history is compared too."""
    command = [sys.executable, str(ROOT / "tests/killed_training.py"), str(tmp_path), "20"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=280).stdout
    result = json.loads(printed)
    assert result["killed"] == 20
    assert result["ended"] >= 1
    assert result["different"] == 0


def test_the_epochs_before_are_told_once_and_in_order(tmp_path: Path) -> None:
    undisturbed = list(begin(network(), None))
    stop_after(tmp_path, 2)
    counted: list[int] = []
    assert list(begin(network(), kept(tmp_path), advance=counted.append)) == undisturbed
    assert counted[0] == 200
    assert sum(counted) == 400


def test_a_checkpoint_in_the_middle_of_an_epoch_is_gone_on_from(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def die(images: torch.Tensor, generator: torch.Generator, part: slice, strength: float) -> torch.Tensor:
        steps.append(1)
        if len(steps) == 33:  # the second epoch's 13th step of 20
            raise KilledError
        return images[part].float()

    steps: list[int] = []
    with pytest.raises(KilledError):
        list(begin(network(), kept(tmp_path, seconds=0), replace(RECIPE, augment=die)))
    counted: list[int] = []
    assert list(begin(network(), kept(tmp_path), advance=counted.append)) == list(begin(network(), None))
    assert counted[0] == 150


@pytest.mark.parametrize("origin", [{"code": "b"}, {"code": "a", "data": "c"}])
def test_a_checkpoint_of_other_code_data_or_parameters_is_not_used(tmp_path: Path, origin: dict[str, Any]) -> None:
    stop_after(tmp_path, 2)
    assert kept(tmp_path).load() != b""
    assert kept(tmp_path, origin).load() == b""


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: b"not a checkpoint",
    ],
    ids=["half", "empty", "a bit of the last byte", "a bit of the header", "other bytes"],
)
def test_a_damaged_checkpoint_is_set_aside_with_a_warning(tmp_path: Path, damage) -> None:
    stop_after(tmp_path, 2)
    (path,) = tmp_path.iterdir()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    said: list[str] = []
    undisturbed = list(begin(network(), None))
    assert list(begin(network(), Checkpoints(tmp_path, {"code": "a"}, warn=said.append))) == undisturbed
    (line,) = said
    assert "checksum is wrong" in line
    assert "training begins anew" in line
    assert path.with_suffix(".damaged").read_bytes() == damaged


def test_a_checkpoint_that_cannot_be_written_is_told_once_and_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a file"
    folder.write_text("")
    said: list[str] = []
    checkpoints = Checkpoints(folder, {}, warn=said.append, seconds=0)
    assert list(begin(network(), checkpoints)) == list(begin(network(), None))
    checkpoints.remove()
    (line,) = [line for line in said if "no checkpoint is kept" in line]
    assert "a file" in line


def test_weights_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    wild = replace(RECIPE, learning_rate=1e38, warmup_epochs=0, schedule="constant")
    with pytest.raises(PipelineError, match=r"training loss became inf in epoch 1, step 2, at learning rate 1e\+38"):
        list(begin(network(), kept(tmp_path, seconds=0), wild))
    if stored := kept(tmp_path).load():
        assert all(tensor.isfinite().all() for tensor in Snapshot.from_bytes(stored).tensors.values())


def test_a_training_that_ended_leaves_no_checkpoint_when_its_results_are_written(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    list(begin(network(), checkpoints))
    assert list(tmp_path.iterdir())
    checkpoints.remove()
    assert not list(tmp_path.iterdir())


def test_checkpoints_of_trainings_that_never_ended_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(KEPT + 5):
        path = tmp_path / f"{number}.checkpoint"
        path.touch()
        os.utime(path, (number, number))
    stop_after(tmp_path, 1)
    (own,) = [path for path in tmp_path.iterdir() if len(path.stem) == 32]
    os.utime(own, (0, 0))  # the oldest of all
    assert kept(tmp_path).load() != b""
    others = [path for path in tmp_path.iterdir() if path != own]
    assert sorted(int(path.stem) for path in others) == list(range(5, KEPT + 5))
