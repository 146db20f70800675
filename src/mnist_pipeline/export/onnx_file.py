"""A trained classifier as an ONNX model: raw pixels in, logits and probabilities out."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx.helper import set_model_props
from torch import Tensor, nn

from mnist_pipeline.models.weights import Description
from mnist_pipeline.serving.session import input_batches

OPSET = 18  # the newest that the exporter writes without a conversion; onnxruntime reads it since 1.14 (2023)
IR_VERSION = 8  # it came with that operator set; the exporter writes 10, which onnxruntime reads since 1.18
PREPROCESSING = "none: raw pixels, 0 to 255, as in the training set; the network standardises them itself"


class ServedClassifier(nn.Module):
    """A classifier that gives probabilities beside its logits; in evaluation mode."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities, both `[N, classes]`, of raw pixels `uint8 [N, height, width]`, or with channels."""
        logits = self.classifier(image)
        return logits, logits.softmax(1)

    @torch.inference_mode()
    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The logits `[N, classes]` of any number of raw images `[N, height, width, channels]`."""
        return np.concatenate([self(torch.tensor(batch))[0].numpy() for batch in input_batches(images)])


def to_onnx(
    served: ServedClassifier, description: Description, picture: Mapping[str, str], energy_bound: float
) -> onnx.ModelProto:
    """The network as ONNX, checked, with input `image` and outputs `logits` and `probabilities`.

    Its metadata hold `energy_bound`, see `serving.session`, and in JSON the label names and how a `picture` becomes an
    image.
    """
    *size, channels = description.image_shape
    size += [channels] if channels > 1 else []
    program = torch.onnx.export(
        served,
        (torch.zeros(2, *size, dtype=torch.uint8),),  # two, as the exporter takes a size of one for fixed
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
    metadata = {
        "data_md5": description.data_md5,
        "label_names": json.dumps(description.label_names, ensure_ascii=False),
        "model": description.model,
        "picture": json.dumps(dict(picture), sort_keys=True),
        "preprocessing": PREPROCESSING,
    }
    finish(network, metadata, energy_bound)
    return network


def finish(network: onnx.ModelProto, metadata: Mapping[str, str], energy_bound: float) -> None:
    """Replace the notes of what made a network by our own metadata, and check it.

    The same weights give the same bytes: of the exporter's notes, which hold paths of this machine, and of its
    version, which differs between builds of PyTorch, nothing is kept.
    """
    _strip(network)
    network.ir_version = IR_VERSION
    network.producer_name = "mnist-pipeline"
    network.ClearField("producer_version")
    set_model_props(network, dict(sorted({**metadata, "energy_bound": str(energy_bound)}.items())))
    onnx.checker.check_model(network, full_check=True)


def to_bytes(network: onnx.ModelProto) -> bytes:
    """The file's content; equal networks give equal bytes."""
    content: bytes = network.SerializeToString(deterministic=True)
    return content


def _strip(message: Any) -> None:
    """Clear the exporter's notes in a protobuf message and in all messages that it holds."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                _strip(child)
