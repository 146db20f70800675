"""The networks by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
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
    options = dict(inspect.signature(NETWORKS[name], eval_str=True).parameters)
    del options["classes"]
    for option in architecture:
        if option not in options:
            raise ValueError(f"{option} is not known to {name}; expected {', '.join(options)}")
    for option, parameter in options.items():
        if option in architecture:
            _check_type(option, architecture[option], parameter.annotation)
        elif parameter.default is parameter.empty:
            raise ValueError(f"{option} is missing")
    return NETWORKS[name](classes=classes, **architecture)


def _check_type(option: str, value: Any, annotation: Any) -> None:
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        raise ValueError(f"{option} = {value!r}: {error.errors()[0]['msg']}") from error
