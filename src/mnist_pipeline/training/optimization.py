"""Optimisers and learning-rate schedules by name, all of them torch's own."""

from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
)

Schedule = Literal["constant", "cosine", "linear"]

WARMUP_START = 0.01
"""The share of the learning rate at which a warm-up begins."""


def build_optimizer(
    model: nn.Module, name: str, learning_rate: float, momentum: float, weight_decay: float
) -> Optimizer:
    """SGD, or AdamW whose first moment decays with `momentum`; weight decay acts on matrices, not on biases.

    The fused implementations update all parameters in one kernel.
    """
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "sgd":
        return SGD(groups, lr=learning_rate, momentum=momentum, fused=True)
    return AdamW(groups, lr=learning_rate, betas=(momentum, 0.999), fused=True)


def build_schedule(optimizer: Optimizer, name: Schedule, warmup_steps: int, total_steps: int) -> LRScheduler:
    """A linear warm-up, then the named schedule over the steps that remain, down to zero unless it is constant."""
    remaining = total_steps - warmup_steps
    main: LRScheduler
    if name == "cosine":
        main = CosineAnnealingLR(optimizer, T_max=remaining)
    elif name == "linear":
        main = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=remaining)
    else:
        main = ConstantLR(optimizer, factor=1.0, total_iters=remaining)
    if warmup_steps == 0:
        return main
    warmup = LinearLR(optimizer, start_factor=WARMUP_START, total_iters=warmup_steps)
    return SequentialLR(optimizer, [warmup, main], milestones=[warmup_steps])
