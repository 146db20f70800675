"""The activations that a parameter can name."""

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def activation_class(name: str) -> type[nn.Module]:
    """The module class of an activation.

    Raises:
        ValueError: `name` is none of `ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation = {name!r}: expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
