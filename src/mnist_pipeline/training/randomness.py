"""Random numbers that follow from the seed and the step alone.

Nothing is carried from one step to the next, so a training that goes on from a checkpoint draws what an undisturbed
one draws, and each of several processes draws what the others draw.
"""

import hashlib

import torch
from torch import Tensor


class Draws:
    """What a training draws at random, on the device that trains; `rank` tells apart the processes of a training."""

    def __init__(self, seed: int, device: torch.device, rank: int) -> None:
        self._seed = seed
        self._rank = rank
        self._generator = torch.Generator(device)
        self._of_layers = _default_generator(device)

    def order(self, epoch: int, count: int) -> Tensor:
        """A permutation `int64 [count]` for an epoch; the same in all processes."""
        self._generator.manual_seed(self._number("order", epoch))
        return torch.randperm(count, generator=self._generator, device=self._generator.device)

    def at_step(self, step: int) -> torch.Generator:
        """The generator of a step, the same in all processes; layers such as dropout draw for each process anew."""
        self._of_layers.manual_seed(self._number(f"layers of {self._rank}", step))
        return self._generator.manual_seed(self._number("step", step))

    def _number(self, purpose: str, number: int) -> int:
        """A seed that tells nothing of its neighbours, so that no seed draws what another draws a step later."""
        text = f"{self._seed}, {purpose}, {number}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())


def _default_generator(device: torch.device) -> torch.Generator:
    """The generator that layers draw from. torch.manual_seed seeds those of all devices, which takes far longer."""
    if device.type == "cuda":
        torch.cuda.init()
        generator: torch.Generator = torch.cuda.default_generators[torch.cuda.current_device()]
        return generator
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator
