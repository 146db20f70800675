"""The networks by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_origin

from torch import nn

from mnist_pipeline.models.lenet import LeNet
from mnist_pipeline.models.mlp import MLP

NETWORKS: dict[str, Callable[..., nn.Module]] = {"lenet": LeNet, "mlp": MLP}


def build(name: str, architecture: Mapping[str, Any], classes: int) -> nn.Module:
    """A network with random weights, drawn from torch's global generator.

    `architecture` holds the keyword arguments of the network's class, `classes` aside.

    Raises:
        ValueError: the network or an argument of it does not exist, or a value is missing or not allowed.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; expected one of {', '.join(NETWORKS)}")
    options = dict(inspect.signature(NETWORKS[name]).parameters)
    del options["classes"]
    for option in architecture:
        if option not in options:
            raise ValueError(f"{option} is not known to {name}; expected {', '.join(options)}")
    for option, parameter in options.items():
        if option not in architecture:
            raise ValueError(f"{option} is missing")
        _check_type(option, architecture[option], parameter.annotation)
    return NETWORKS[name](classes=classes, **architecture)


def _check_type(option: str, value: Any, annotation: Any) -> None:
    expected = get_origin(annotation) or annotation
    allowed = (int, float) if expected is float else expected
    if not isinstance(value, allowed) or (isinstance(value, bool) and expected is not bool):
        raise ValueError(f"{option} = {value!r}: expected {expected.__name__}")
