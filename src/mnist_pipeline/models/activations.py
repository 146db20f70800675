"""The activations that a parameter can name."""

from typing import Literal

from torch import nn

Activation = Literal["relu", "silu", "tanh", "sigmoid"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
