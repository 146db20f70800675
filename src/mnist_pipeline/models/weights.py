"""Trained weights in safetensors, together with all that is needed to use them again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_bytes
from mnist_pipeline.models.build import build
from mnist_pipeline.models.classifier import Classifier

METADATA_KEY = "mnist_pipeline"


@dataclass(frozen=True)
class Description:
    """What a weights file says of itself.

    `mean` and `standard_deviation` are those of the training pixels divided by 255;
    `data_md5` is the digest of `data/raw` as `dvc.lock` records it.
    """

    model: str
    architecture: dict[str, Any]
    label_names: list[str]
    mean: float
    standard_deviation: float
    data_md5: str


def save_weights(path: Path, network: nn.Module, description: Description) -> None:
    """Writes the state dict of `network`, on any device, and its description.

    The description is one JSON string under one key: safetensors writes several keys in an order that changes
    from process to process.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {METADATA_KEY: json.dumps(asdict(description), sort_keys=True)}
    write_bytes(path, save(state, metadata))


def load_classifier(path: Path) -> tuple[Classifier, Description]:
    """The trained classifier in a weights file, on the CPU and in evaluation mode.

    Raises:
        PipelineError: the file is missing, damaged, or was not written by `save_weights`.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 -- not a mapping
        description = Description(**json.loads(metadata[METADATA_KEY]))
        network = build(description.model, description.architecture, len(description.label_names))
        network.load_state_dict(state)
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read ({error}): run the train stage first") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise PipelineError(f"{path}: not a weights file of this pipeline ({error}): run the train stage") from error
    classifier = Classifier(network, description.mean, description.standard_deviation)
    return classifier.eval(), description
