"""Optimisers and learning-rate schedules by name, all of them torch's own."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
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


def state_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers of each parameter, as `<parameter's number>.<name>`."""
    return {
        f"{number}.{name}": value
        for number, memory in optimizer.state_dict()["state"].items()
        for name, value in memory.items()
        if value is not None
    }


def restore_state(optimizer: Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """Gives back what `state_tensors` took, and the `param_groups` of the optimiser's state dict.

    The fused kernels walk through memory, so each tensor is laid out as its parameter is.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    memories: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        parameter = parameters[int(number)]
        same_shape = value.shape == parameter.shape
        laid_out = torch.empty_like(parameter, dtype=value.dtype).copy_(value) if same_shape else value
        memories.setdefault(int(number), {})[name] = laid_out
    optimizer.load_state_dict({"state": memories, "param_groups": groups})
