"""Maximum pooling that is fast on a processor where there are few channels."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

VECTOR = 16
"""Numbers in the widest vector of a processor. PyTorch's own pooling takes so many channels at a time."""


def halve(x: Tensor) -> Tensor:
    """The maximum of each 2×2 square of `x`, `[N, channels, height, width]` with even sides.

    PyTorch's own takes as long for few channels as for `VECTOR`; while a network trains on a CPU, this one compares
    whole rows instead. The values are the same. Where a maximum stands twice in a square, the gradient may go to the
    other place.
    """
    if x.device.type == "cpu" and x.requires_grad and x.shape[1] < VECTOR:
        halved: Tensor = _Halve.apply(x.permute(0, 2, 3, 1).float()).permute(0, 3, 1, 2)  # bfloat16 compares slowly
        return halved
    return functional.max_pool2d(x, 2)


class _Halve(torch.autograd.Function):
    """Of `[N, height, width, channels]`: first from row to row, then from column to column."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        upper, lower = _pairs(x, 1)
        rows = torch.maximum(upper, lower)
        left, right = _pairs(rows, 2)
        ctx.save_for_backward(x, rows)
        return torch.maximum(left, right)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, rows = ctx.saved_tensors
        return _to_the_greater(x, 1, _to_the_greater(rows, 2, gradient))


def _pairs(x: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """What stands at even places of a dimension, and what at odd ones."""
    first, second = x.unflatten(dimension, (-1, 2)).unbind(dimension + 1)
    return first, second


def _to_the_greater(x: Tensor, dimension: int, gradient: Tensor) -> Tensor:
    """The gradient of `x` whose pairs were halved: the greater of two gets all of it."""
    spread = torch.empty_like(x)
    (first, second), (to_first, to_second) = _pairs(x, dimension), _pairs(spread, dimension)
    first_is_greater = torch.ge(first, second, out=torch.empty_like(gradient))
    torch.mul(gradient, first_is_greater, out=to_first)
    torch.sub(gradient, to_first, out=to_second)
    return spread
