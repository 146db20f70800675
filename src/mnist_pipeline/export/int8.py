"""A network in INT8, a quarter of the size of its linear layers, and the decision whether to ship it.

Static quantization of onnxruntime, as QuantizeLinear and DequantizeLinear around each layer (QDQ), with these choices:

- The last linear layer keeps float32, so that the logits do.
- Convolutions keep float32: LeNet's hold 4 % of its weights, and with them in INT8 it took more than twice as long.
- Each output of a layer has its own scale, which brought the logits of validation images nearest to float32's.
- Weights take 7 of the 8 bits. A processor without VNNI adds two products in 16 bits, which 8 bits would overflow.
- A ReLU is joined with the layer before it, whose zero it becomes.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import onnx
from numpy.typing import NDArray

from mnist_pipeline.comparison.intervals import adjusted_interval
from mnist_pipeline.comparison.paired import mcnemar
from mnist_pipeline.export.network import metadata_of, read_network
from mnist_pipeline.export.onnx_file import finish, to_bytes
from mnist_pipeline.serving.session import energy_bound, input_batches, logits, open_session

LINEAR = ("Gemm", "MatMul")


def to_int8(network: onnx.ModelProto, calibration: NDArray[np.uint8], images: NDArray[np.uint8]) -> onnx.ModelProto:
    """A network of `to_onnx` in INT8, with the same inputs, outputs and metadata, but its own energy bound.

    Images `[M, height, width, channels]` for `calibration` show the range of each layer's inputs and outputs; the bound
    is that of all training `images`. A network without linear layers but its last comes back in float32.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # after serving.session's telemetry
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quantized = onnx.ModelProto()
    quantized.CopyFrom(network)
    if layers := [node for node in network.graph.node if node.op_type in LINEAR][:-1]:
        outputs = {layer.output[0] for layer in layers}
        joined = [node for node in network.graph.node if node.op_type == "Relu" and node.input[0] in outputs]
        feeds = ({"image": batch} for batch in input_batches(calibration))
        with TemporaryDirectory() as folder:
            prepared, written = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
            quant_pre_process(quantized, prepared, skip_optimization=True, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                written,
                SimpleNamespace(get_next=lambda: next(feeds, None)),
                quant_format=QuantFormat.QDQ,
                nodes_to_quantize=[node.name for node in [*layers, *joined]],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            quantized = read_network(written)
    finish(quantized, metadata_of(network), energy_bound(logits(open_session(to_bytes(quantized)), images)))
    return quantized


def accuracy_difference(
    labels: NDArray[np.int64], int8: NDArray[np.float32], float32: NDArray[np.float32], significance: float
) -> dict[str, float]:
    """The accuracy of INT8 less that of float32, from the labels `[N]` and the logits `[N, classes]` of both.

    `won` images INT8 alone has right, `lost` images float32 alone; the interval's confidence is 1 - `significance`.
    """
    int8_correct, float32_correct = int8.argmax(1) == labels, float32.argmax(1) == labels
    won, lost, p_value = mcnemar(int8_correct, float32_correct)
    low, high = adjusted_interval(won, lost, len(labels), 1 - significance)
    return {
        "accuracy": float(int8_correct.mean()),
        "float32_accuracy": float(float32_correct.mean()),
        "accuracy_difference": (won - lost) / len(labels),
        "accuracy_difference_low": low,
        "accuracy_difference_high": high,
        "won": won,
        "lost": lost,
        "p_value": p_value,
    }


def should_ship(
    int8: onnx.ModelProto, float32: onnx.ModelProto, validation: Mapping[str, float], significance: float
) -> tuple[bool, str]:
    """The quantization decision and its reason, from both networks and their accuracies on the validation set.

    INT8 is shipped where something was quantised, its graph is smaller, whatever its metadata, and it does not have
    fewer images right with a p-value below `significance`. The test set chooses nothing.
    """
    if not any(node.op_type == "DequantizeLinear" for node in int8.graph.node):
        return False, "nothing to quantise"
    if int8.graph.ByteSize() >= float32.graph.ByteSize():
        return False, "not smaller"
    if validation["lost"] > validation["won"] and validation["p_value"] < significance:
        return False, "significantly less accurate"
    return True, "smaller, and not significantly less accurate"
