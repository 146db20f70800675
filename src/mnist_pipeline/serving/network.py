"""What model files hold, told without the network itself."""

import json
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from safetensors import SafetensorError, safe_open


def read_network(path: Path) -> onnx.ModelProto:
    """The network in an ONNX file, weights and all."""
    return onnx.load(path, load_external_data=False)


def said_by(path: Path) -> dict[str, str]:
    """What an ONNX or safetensors file says of its model; nothing where it is neither, or silent."""
    if path.suffix == ".onnx":
        try:
            return {entry.key: entry.value for entry in read_network(path).metadata_props}
        except DecodeError:
            return {}
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="np") as stored:
                entries = [json.loads(text) for text in (stored.metadata() or {}).values()]
        except (SafetensorError, ValueError):
            return {}
        return {key: str(value) for entry in entries if isinstance(entry, dict) for key, value in entry.items()}
    return {}
