"""An ONNX file as the network that it holds."""

from pathlib import Path

import onnx


def read_network(path: Path) -> onnx.ModelProto:
    """The network in an ONNX file, weights and all."""
    return onnx.load(path, load_external_data=False)
