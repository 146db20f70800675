"""A trained classifier as an ONNX model: raw pixels in, logits and probabilities out."""

import json
from typing import Any

import onnx
import torch
from onnx.helper import set_model_props
from torch import Tensor, nn

from mnist_pipeline.models import Description

OPSET = 18
"""The newest operator set that the exporter writes without a conversion; onnxruntime reads it since 1.14 (2023)."""
PREPROCESSING = "none: raw pixels, 0 to 255, as in the training set; the network standardises them itself"
EXPORTER_NOTES = ("doc_string", "metadata_props")


class ServedClassifier(nn.Module):
    """A classifier that gives probabilities beside its logits; in evaluation mode."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities, both `[N, classes]`, of raw pixels `uint8 [N, height, width]`."""
        logits = self.classifier(image)
        return logits, logits.softmax(1)


def to_onnx(
    served: ServedClassifier, description: Description, image_size: tuple[int, int], least_familiarity: float
) -> onnx.ModelProto:
    """The network as ONNX, checked, with input `image` and outputs `logits` and `probabilities`.

    `least_familiarity` is noted in the file, see `novelty`.

    The same weights give the same bytes: of the exporter's notes, which hold paths of this machine, and of its
    version, which differs between builds of PyTorch, nothing is kept.
    """
    program = torch.onnx.export(
        served,
        (torch.zeros(2, *image_size, dtype=torch.uint8),),  # two, as the exporter takes a size of one for fixed
        dynamo=True,
        dynamic_shapes={"image": {0: "batch"}},
        input_names=["image"],
        output_names=["logits", "probabilities"],
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    assert program is not None  # it is None only without dynamo
    network = program.model_proto
    _strip(network)
    network.producer_name = "mnist-pipeline"
    network.ClearField("producer_version")
    set_model_props(network, _properties(description, least_familiarity))
    onnx.checker.check_model(network, full_check=True)
    return network


def to_bytes(network: onnx.ModelProto) -> bytes:
    """The file's content; equal networks give equal bytes."""
    content: bytes = network.SerializeToString(deterministic=True)
    return content


def _strip(message: Any) -> None:
    """Clears what the exporter noted, in a protobuf message and in all messages that it holds."""
    for field, value in message.ListFields():
        if field.name in EXPORTER_NOTES:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                _strip(child)


def _properties(description: Description, least_familiarity: float) -> dict[str, str]:
    """What a reader of the file learns of the model, in sorted order; label names are a JSON list."""
    return {
        "data_md5": description.data_md5,
        "label_names": json.dumps(description.label_names, ensure_ascii=False),
        "least_familiarity": str(least_familiarity),
        "model": description.model,
        "preprocessing": PREPROCESSING,
    }
