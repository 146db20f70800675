"""Train over and over, and kill most of the trainings at a random moment; `python killed_training.py FOLDER KILLS`.

It prints a line of JSON: how many trainings were killed, how many then ended by themselves, and how many of those gave
other bytes than an undisturbed one. Each training is a fork of this process, which has imported torch and
computed nothing, so that killing one costs no import.
"""

import json
import multiprocessing
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from mnist_pipeline.training.checkpoint import Checkpoint
from mnist_pipeline.training.devices import make_deterministic
from mnist_pipeline.training.loop import fit
from recipes import plain

LONGEST = 0.1
"""Seconds from a training's first checkpoint to its death, at most; in them it goes on and writes some more."""


class Network(nn.Sequential):
    """Everything that a step can leave behind: convolutions laid out as ours are, statistics, and random layers."""

    def __init__(self) -> None:
        first, second = nn.Conv2d(1, 6, 5, stride=2), nn.Conv2d(6, 8, 5, stride=2)
        layers = (first, nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), second, nn.Flatten(), nn.Linear(8 * 4 * 4, 10))
        super().__init__(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = super().forward(images.unsqueeze(1) / 255)
        return result


def train(folder: Path, target: Path) -> None:
    """Train the same network on the same images each time, with a checkpoint after each seventh step."""
    torch.set_num_threads(1)
    make_deterministic(1)
    images = torch.randint(0, 256, (500, 28, 28), dtype=torch.uint8)
    dataset = TensorDataset(images, images[:, 14, 14].long() % 10)
    augmentation = {"rotation": 9, "scale": 0.1, "shear": 5, "translation": 1, "elastic": 0.5, "final_strength": 0.4}
    settings = plain(epochs=4, batch_size=20, label_smoothing=0.1, ema_decay=0.9, augmentation=augmentation)
    network = Network()
    checkpoint = Checkpoint(folder, {}, warn=print)
    history = list(fit(network, dataset, dataset, settings, 1, checkpoint=checkpoint, checkpoint_steps=7))
    numbers = torch.tensor([list(row.values()) for row in history], dtype=torch.float64)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    target.write_bytes(save({**weights, "history": numbers}))
    checkpoint.remove()


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    undisturbed = folder / "undisturbed"
    run(folder, undisturbed, kill=False)
    killed = ended = different = 0
    random.seed(kills)
    while killed < kills:
        target = folder / f"after {killed} kills"
        while not target.exists():
            killed += run(folder, target, kill=killed < kills)
        ended += 1
        different += target.read_bytes() != undisturbed.read_bytes()
    sys.stdout.write(json.dumps({"killed": killed, "ended": ended, "different": different}) + "\n")


def run(folder: Path, target: Path, kill: bool) -> bool:
    """Train; with `kill`, kill the training at a random moment after its first checkpoint. Whether it was killed."""
    checkpoints, begun = folder / "checkpoints", time.time_ns()
    process = multiprocessing.get_context("fork").Process(target=train, args=(checkpoints, target))
    process.start()
    if kill:
        while process.is_alive() and not any(_written(path) > begun for path in checkpoints.glob("*.checkpoint")):
            time.sleep(0.001)
        time.sleep(random.uniform(0, LONGEST))
        process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        sys.exit("a training failed")
    return process.exitcode != 0


def _written(path: Path) -> int:
    with suppress(FileNotFoundError):  # the training may have moved or removed it since it was listed
        return path.stat().st_mtime_ns
    return 0


if __name__ == "__main__":
    main()
