"""Trained weights in safetensors, together with all that is needed to use them again."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from mnist_pipeline.errors import PipelineError, one_line
from mnist_pipeline.files import read_file, write_bytes
from mnist_pipeline.models.build import build
from mnist_pipeline.models.classifier import Classifier

METADATA_KEY = "mnist_pipeline"


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class Description:
    """The metadata of a weights file."""

    model: str
    architecture: dict[str, Any]
    image_shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]  # [H, W, channels]
    label_names: Annotated[list[str], Field(min_length=1)]
    mean: Annotated[float, Field(ge=0, le=1)]  # of the training pixels divided by 255, as is the next
    standard_deviation: Annotated[float, Field(gt=1e-9, le=1)]
    data_md5: str  # of data/raw, as dvc.lock records it


def save_weights(path: Path, network: nn.Module, description: Description) -> None:
    """Write the state dict of `network`, on any device, and its description.

    The description is one JSON string under one key: safetensors writes several keys in an order that changes
    from process to process.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {METADATA_KEY: json.dumps(asdict(description), sort_keys=True)}
    write_bytes(path, save(state, metadata))


def load_classifier(path: Path) -> tuple[Classifier, Description]:
    """The trained classifier in a weights file, on the CPU and in evaluation mode.

    A file that `save_weights` has not written so, and a weight that is not finite, are a `PipelineError`.
    """
    content = read_file(path, "run the train stage first")
    try:
        state = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header.get("__metadata__") or {}
        description = TypeAdapter(Description).validate_json(metadata.get(METADATA_KEY, ""))
        network = build(
            description.model, description.architecture, description.image_shape, len(description.label_names)
        )
        found, expected = _kinds(state), _kinds(network.state_dict())
        for name in sorted(found.keys() | expected.keys()):
            if found.get(name) != expected.get(name):
                raise ValueError(f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'no tensor')}")
    except (SafetensorError, KeyError, ValueError) as error:  # a KeyError: torch lacks a type
        message = f"{path}: not a weights file of this pipeline ({one_line(error)}): run the train stage"
        raise PipelineError(message) from error
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise PipelineError(f"{path}: {name} has numbers that are not finite: train with a lower learning rate")
    network.load_state_dict(state)
    return Classifier(network, description.mean, description.standard_deviation).eval(), description


def _kinds(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in state.items()}
