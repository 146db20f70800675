"""Networks by name: the module `models/<name>.py` names its class `NETWORK`."""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import nn


def build(name: str, architecture: Mapping[str, Any], shape: Sequence[int], classes: int) -> nn.Module:
    """A network with random weights, drawn from torch's global generator.

    `shape` is that of an image: height, width, channels. `architecture` holds the other keyword arguments of the
    network's class; their annotations say what is allowed, and what is not raises a `ValueError`. Only the module of
    this network is imported, so a stage depends on no other.
    """
    if "." in name or find_spec(f"mnist_pipeline.models.{name}") is None:
        raise ValueError(f"there is no module models/{name}.py in src/mnist_pipeline")
    module = importlib.import_module(f"mnist_pipeline.models.{name}")
    if not hasattr(module, "NETWORK"):
        raise ValueError(f"src/mnist_pipeline/models/{name}.py does not name its class: NETWORK = …")
    options = dict(inspect.signature(module.NETWORK, eval_str=True).parameters)
    del options["shape"], options["classes"]
    for option in architecture:
        if option not in options:
            raise ValueError(f"{option} is not known to {name}; expected {', '.join(options)}")
    for option, parameter in options.items():
        if option not in architecture and parameter.default is parameter.empty:
            raise ValueError(f"{option} is missing")
    for option, value in architecture.items():
        try:
            TypeAdapter(options[option].annotation).validate_python(value, strict=True)
        except ValidationError as error:
            raise ValueError(f"{option} = {value!r}: {error.errors()[0]['msg']}") from error
    network: nn.Module = module.NETWORK(shape=tuple(shape), classes=classes, **architecture)
    return network
