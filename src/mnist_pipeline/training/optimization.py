"""How to train: the optimizer, the learning rate of each step, and how far it moves the averaged weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

WARMUP_START = 0.01
"""The share of the learning rate at which a warm-up begins."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; `docs/parameters.md` describes the values under the same names.

    Weights are float32 always; in another `precision` the layers multiply that gain by it (torch.autocast).
    `augmentation` holds the bounds of `random_distortion`, and `final_strength`.
    """

    seed: int
    epochs: int
    batch_size: int
    precision: torch.dtype
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: str
    warmup: float
    label_smoothing: float
    ema_decay: float
    augmentation: Mapping[str, float]

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        """SGD, or AdamW whose first moment decays with `momentum`; weight decay acts on matrices, not on biases.

        The fused implementations update all parameters in one kernel.
        """
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if self.optimizer == "sgd":
            return SGD(groups, lr=self.learning_rate, momentum=self.momentum, fused=True)
        return AdamW(groups, lr=self.learning_rate, betas=(self.momentum, 0.999), fused=True)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, of so many.

        A linear warm-up over the share `warmup` of all steps, then the schedule over those that remain, down to zero
        unless it is constant.
        """
        warmup_steps = int(self.warmup * steps)
        if step < warmup_steps:
            return self.learning_rate * (WARMUP_START + (1 - WARMUP_START) * step / warmup_steps)
        done = (step - warmup_steps) / (steps - warmup_steps)
        factors = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
        return self.learning_rate * factors[self.schedule]

    def averaging_decay_at(self, step: int) -> float:
        """Share of the averaged weights that a step, counted from 0, keeps.

        It rises to `ema_decay`, else the average of a short training would hardly have left the random weights that it
        began with; as TensorFlow's ExponentialMovingAverage does it, https://www.tensorflow.org/api_docs/python/tf/train.
        """
        return min(self.ema_decay, (1 + step) / (10 + step))
