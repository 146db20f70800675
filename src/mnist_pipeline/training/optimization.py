"""How to train: the optimizer, the learning rate of each step, and how far it moves the averaged weights.

`settings` is a section `train.<model>` of params.yaml; `docs/reference/parameters.md` describes it.
"""

import math
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

WARMUP_START = 0.01  # the share of the learning rate at which a warm-up begins


def build_optimizer(model: nn.Module, settings: Any) -> Optimizer:
    """SGD, or AdamW whose first moment decays with `momentum`; weight decay acts on matrices, not on biases.

    The fused implementations update all parameters in one kernel.
    """
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=True)
    return AdamW(groups, lr=settings.learning_rate, betas=(settings.momentum, 0.999), fused=True)


def learning_rate_at(step: int, steps: int, settings: Any) -> float:
    """The learning rate of a step, counted from 0, of so many.

    A linear warm-up over the share `warmup` of all steps, then the schedule over those that remain, down to zero
    unless it is constant.
    """
    rate: float = settings.learning_rate
    warmup_steps = int(settings.warmup * steps)
    if step < warmup_steps:
        return rate * (WARMUP_START + (1 - WARMUP_START) * step / warmup_steps)
    done = (step - warmup_steps) / (steps - warmup_steps)
    factors = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return rate * factors[settings.schedule]


def averaging_decay_at(step: int, ema_decay: float) -> float:
    """Share of the averaged weights that a step, counted from 0, keeps.

    It rises to `ema_decay`, else the average of a short training would hardly have left the random weights that it
    began with; as TensorFlow's ExponentialMovingAverage does it, https://www.tensorflow.org/api_docs/python/tf/train.
    """
    return min(ema_decay, (1 + step) / (10 + step))
