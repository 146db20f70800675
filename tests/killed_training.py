"""Trains over and over, and kills most of the trainings at a random moment; `python killed_training.py FOLDER KILLS`.

It prints a line of JSON: how many trainings were killed, how many then came to their end, and how many of those gave
other bytes than one that nothing disturbed. Each training is a fork of this process, which has imported torch and
computed nothing, so that killing one costs no import.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from mnist_pipeline.data.augment import random_distortion
from mnist_pipeline.devices import make_deterministic
from mnist_pipeline.training.checkpoint import Checkpoints
from mnist_pipeline.training.loop import Examples, fit
from recipes import PLAIN

LONGEST = 0.1
"""Seconds from a training's first checkpoint to its death, at most; in them it goes on and writes some more."""


class Network(nn.Module):
    """Everything that a step can leave behind: convolutions laid out as ours are, statistics, and random layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(6, 8, 5, stride=2)
        )
        self.last = nn.Linear(8 * 4 * 4, 10)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.last(self.layers(images.unsqueeze(1) / 255).flatten(1))
        return result


def train(folder: Path, target: Path) -> None:
    """Trains the same network on the same images each time, looking for a due checkpoint as often as it can."""
    torch.set_num_threads(1)
    make_deterministic(1)
    images = torch.randint(0, 256, (1000, 28, 28), dtype=torch.uint8)
    examples = Examples(images, images[:, 14, 14].long() % 10)
    augment = partial(random_distortion, rotation=9, scale=0.1, shear=5, translation=1, elastic=0.5)
    recipe = replace(
        PLAIN, epochs=6, batch_size=20, label_smoothing=0.1, ema_decay=0.9, augment=augment, final_strength=0.4
    )
    network = Network()
    checkpoints = Checkpoints(folder, {}, warn=print, seconds=0)
    history = list(fit(network, examples, examples, recipe, 1, lambda amount: None, checkpoints))
    told = torch.tensor([list(vars(epoch).values()) for epoch in history], dtype=torch.float64)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    target.write_bytes(save({**weights, "history": told}))
    checkpoints.remove()


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    undisturbed = folder / "undisturbed"
    _wait(_start(partial(train, folder / "checkpoints", undisturbed)))
    killed = ended = different = 0
    random.seed(kills)
    while killed < kills:
        target = folder / f"after {killed} kills"
        while not target.exists():
            process = _start(partial(train, folder / "checkpoints", target))
            killed += _kill(process, folder / "checkpoints") if killed < kills else _wait(process)
        ended += 1
        different += target.read_bytes() != undisturbed.read_bytes()
    sys.stdout.write(json.dumps({"killed": killed, "ended": ended, "different": different}) + "\n")


def _start(work: Callable[[], None]) -> int:
    process = os.fork()
    if process:
        return process
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _kill(process: int, checkpoints: Path) -> bool:
    """Kills a training at a random moment after it has written a checkpoint, if it has not ended by then."""
    begun = time.time_ns()
    while not any(_written(path) > begun for path in checkpoints.glob("*.checkpoint")):
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.001)
    time.sleep(random.uniform(0, LONGEST))
    os.kill(process, signal.SIGKILL)
    return _wait(process)


def _written(path: Path) -> int:
    """When a file was, in nanoseconds; the training may have moved or removed it since it was listed."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _wait(process: int) -> bool:
    """Waits for a training, and says whether it was killed."""
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a training failed")
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    main()
