"""Every path of the project, relative to the repository root, where DVC runs each stage."""

from pathlib import Path

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
DOWNLOAD_CACHE = Path(".cache/download")
"""Where whole verified downloads wait for their siblings; git-ignored, unknown to DVC."""
DATA_DOCS = Path(".cache/data_docs")
"""Great Expectations' Data Docs: they carry timestamps, so DVC does not hash them."""
VALIDATION = Path("reports/validate")


def weights(model: str) -> Path:
    """Trained weights of a model, in safetensors format."""
    return Path("models") / model / "weights.safetensors"


def onnx(model: str) -> Path:
    """Exported network of a model."""
    return Path("models") / model / "model.onnx"


def report(stage: str, model: str) -> Path:
    """Folder of what `stage` reports of `model`."""
    return Path("reports") / stage / model
