"""A network whose linear layers, all but the last, multiply whole numbers of eight bits: a quarter of their size.

Static quantization of onnxruntime, as QuantizeLinear and DequantizeLinear around each layer (QDQ), with these choices:

- The last linear layer keeps float32, so that the logits do.
- Convolutions keep float32: LeNet's hold 4 % of its weights, and with them in INT8 it took more than twice as long.
- Each output of a layer has its own scale, which brought the logits of held-out training images nearest to float32's.
- Weights take 7 of the 8 bits. A processor without VNNI adds two products in 16 bits, which 8 bits would overflow.
- A ReLU is joined with the layer before it, whose zero it becomes.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mnist_pipeline.serving.batches import BATCH_SIZE
from mnist_pipeline.serving.network import read_network
from mnist_pipeline.serving.novelty import least_familiarity
from mnist_pipeline.serving.onnx_export import finish, properties_of, to_bytes
from mnist_pipeline.serving.session import logits, open_session

LINEAR = ("Gemm", "MatMul")
SEED = 0
"""Draws the images that calibrate."""


def to_int8(network: onnx.ModelProto, images: NDArray[np.uint8], calibration_images: int) -> onnx.ModelProto:
    """A network of `to_onnx` in INT8, with the same inputs, outputs and notes.

    Some training `images` `[N, height, width]`, drawn at random, tell how large what each layer takes and gives can
    be; all tell the least familiarity anew. A network without linear layers but its last comes back as it is.
    """
    quantized = _quantized(network, _drawn(images, calibration_images))
    familiar = least_familiarity(logits(open_session(to_bytes(quantized)), images))
    finish(quantized, properties_of(network), familiar)
    return quantized


def _drawn(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    chosen = np.random.default_rng(SEED).permutation(len(images))[:count]
    return images[chosen]


def _quantized(network: onnx.ModelProto, images: NDArray[np.uint8]) -> onnx.ModelProto:
    quantized = onnx.ModelProto()
    quantized.CopyFrom(network)
    layers = [node for node in network.graph.node if node.op_type in LINEAR][:-1]
    if not layers:
        return quantized
    given = {layer.output[0] for layer in layers}
    joined = [node for node in network.graph.node if node.op_type == "Relu" and node.input[0] in given]
    with TemporaryDirectory() as folder:
        prepared, written = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(quantized, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            written,
            _Images(images),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=[node.name for node in [*layers, *joined]],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return read_network(written)


class _Images(CalibrationDataReader):  # type: ignore[misc]  # it ships no types
    """Hands out images in batches."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(np.split(images, range(BATCH_SIZE, len(images), BATCH_SIZE)))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}
