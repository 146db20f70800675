"""A training that was killed resumes as if nothing had happened, from its own checkpoint alone."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mnist_pipeline.params import Training
from mnist_pipeline.training.checkpoint import KEPT_SECONDS, Checkpoint
from mnist_pipeline.training.loop import DivergedError, EpochMetrics, ImageSubset, fit
from recipes import plain

SETTINGS = plain(epochs=4, batch_size=5, learning_rate=0.02, schedule="linear")


class Network(nn.Sequential):
    """Everything that a step can leave behind: weights laid out as ours are, statistics, and random layers."""

    def __init__(self) -> None:
        convolution = nn.Conv2d(1, 3, 3).to(memory_format=torch.channels_last)
        super().__init__(convolution, nn.BatchNorm2d(3), nn.Dropout(0.2), nn.Flatten(), nn.Linear(12, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = super().forward(images.movedim(3, 1) / 255)
        return result


def begin(checkpoint: Checkpoint | None, settings: Training = SETTINGS, **options: Any) -> Iterator[EpochMetrics]:
    images = torch.randint(0, 256, (100, 4, 4, 1), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    dataset = ImageSubset(images, images[:, 0, 0, 0].long() % 2, torch.arange(100))
    torch.manual_seed(0)
    return fit(Network(), dataset, dataset, settings, 1, checkpoint=checkpoint, **options)


def kept(folder: Path, **identity: Any) -> Checkpoint:
    return Checkpoint(folder, identity, warn=pytest.fail)


def stop_after(checkpoint: Checkpoint, images: int, steps: int = 0) -> None:
    done = []

    def stop(count: int) -> None:
        done.append(count)
        if sum(done) == images:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        list(begin(checkpoint, checkpoint_steps=steps, on_progress=stop))


@pytest.mark.parametrize(("steps", "images", "resumed_at"), [(0, 195, 100), (7, 205, 175), (20, 130, 100)])
def test_a_checkpoint_is_kept_each_epoch_or_each_so_many_steps(
    steps: int, images: int, resumed_at: int, tmp_path: Path
) -> None:
    stop_after(kept(tmp_path), images, steps)
    progress: list[int] = []
    resumed = list(begin(kept(tmp_path), checkpoint_steps=steps, on_progress=progress.append))
    assert progress[0] == resumed_at
    assert sum(progress) == 400
    assert resumed == list(begin(None))


def test_a_checkpoint_of_other_code_data_or_parameters_is_not_used(tmp_path: Path) -> None:
    stop_after(kept(tmp_path, code="a"), 105)
    identities = ({"code": "a"}, {"code": "b"}, {"code": "a", "data": "c"})
    assert [kept(tmp_path, **identity).load() is not None for identity in identities] == [True, False, False]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, content: path.write_bytes(content[: len(content) // 2]),
        lambda path, content: path.write_bytes(b""),
        lambda path, content: path.write_bytes(content[:-1] + bytes([content[-1] ^ 1])),
        lambda path, content: path.unlink() or os.mkfifo(path),
    ],
    ids=["half", "empty", "a bit", "a FIFO"],
)
def test_a_damaged_checkpoint_is_reported_and_training_begins_from_the_start(tmp_path: Path, damage: Any) -> None:
    checkpoint = kept(tmp_path)
    stop_after(checkpoint, 260)
    damage(checkpoint.path, checkpoint.path.read_bytes())
    warnings: list[str] = []
    assert list(begin(Checkpoint(tmp_path, {}, warnings.append))) == list(begin(None))
    (warning,) = warnings
    assert str(checkpoint.path) in warning


def test_a_checkpoint_that_cannot_be_written_is_reported_once_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    warnings: list[str] = []
    checkpoint = Checkpoint(tmp_path / "file", {}, warnings.append)
    assert list(begin(checkpoint, checkpoint_steps=1)) == list(begin(None))
    assert len([warning for warning in warnings if "no checkpoint" in warning]) == 1


def test_a_diverged_training_ends_the_same_way_when_it_is_resumed(tmp_path: Path) -> None:
    changes = {"optimizer": "sgd", "learning_rate": 1e38, "warmup": 0.0, "schedule": "constant"}
    wild = SETTINGS.model_copy(update=changes)
    ends = []
    for checkpoint in (None, kept(tmp_path), kept(tmp_path)):
        with pytest.raises(DivergedError) as raised:
            list(begin(checkpoint, wild, checkpoint_steps=1))
        ends.append(str(raised.value))
    assert ends == ends[:1] * 3


def test_only_old_checkpoints_are_removed_whatever_their_number(tmp_path: Path) -> None:
    """Those of siblings that train at the same time are young."""
    siblings = [tmp_path / f"{number}.checkpoint" for number in range(20)]
    abandoned = [tmp_path / "abandoned.checkpoint", tmp_path / ".partly.written"]
    for path in siblings + abandoned[:1]:
        path.touch()
    abandoned[1].mkdir()
    old = time.time() - KEPT_SECONDS - 60
    for path in abandoned:
        os.utime(path, (old, old))
    own = kept(tmp_path)
    list(begin(own))
    assert own.path.exists()
    own.remove()
    assert set(tmp_path.iterdir()) == set(siblings)


@pytest.mark.parametrize("values", [{"ema_decay": 0.0}, {"optimizer": "sgd", "momentum": 0.0}])
def test_weights_without_an_average_and_an_optimizer_without_memory_resume_too(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    settings = SETTINGS.model_copy(update=values)
    undisturbed = list(begin(None, settings))
    interrupted = begin(kept(tmp_path), settings)
    next(interrupted)
    interrupted.close()
    assert list(begin(kept(tmp_path), settings)) == undisturbed
