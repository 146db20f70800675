"""Model files, read without PyTorch or onnxruntime."""

import json
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from safetensors import SafetensorError, safe_open


def read_network(path: Path) -> onnx.ModelProto:
    """The network in an ONNX file, weights and all."""
    return onnx.load(path, load_external_data=False)


def metadata_of(network: onnx.ModelProto) -> dict[str, str]:
    """The metadata of a network."""
    return {entry.key: entry.value for entry in network.metadata_props}


def file_metadata(path: Path) -> dict[str, str]:
    """The metadata in an ONNX or safetensors file; empty where the file is neither, or has none."""
    try:
        if path.is_file() and path.suffix == ".onnx":
            return metadata_of(read_network(path))
        if path.is_file() and path.suffix == ".safetensors":
            with safe_open(path, framework="np") as stored:
                entries = [json.loads(text) for text in (stored.metadata() or {}).values()]
            return {key: str(value) for entry in entries if isinstance(entry, dict) for key, value in entry.items()}
    except (DecodeError, SafetensorError, ValueError):
        pass  # damaged
    return {}
