"""Every path of the project, relative to the repository root, where DVC runs each stage."""

from pathlib import Path

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
"""What DVC recorded when it last ran the stages."""
RAW = Path("data/raw")
DOWNLOAD_CACHE = Path(".cache/download")
"""Where whole verified downloads wait for their siblings; git-ignored, unknown to DVC."""
DATA_DOCS = Path(".cache/data_docs")
"""Great Expectations' Data Docs: they carry timestamps, so DVC does not hash them."""
RUNNING = Path(".cache/running")
"""One locked file for each training that has a row in MLflow and has not ended."""
CHECKPOINTS = Path(".cache/checkpoints")
"""What trainings that have not ended go on from."""
PROMOTION_LOCK = Path(".cache/promotion.lock")
SWEEPS = Path("mlruns/sweeps.db")
"""Optuna's studies; in `mlruns`, so that they go with the rows of their trials."""
SYNCED = Path("mlruns/synced")
"""What the last complete `sync` has read, and where it wrote; in `mlruns`, so that it goes with the rows."""
VALIDATION = Path("reports/validate")
COMPARISON = Path("reports/compare")


def weights(model: str) -> Path:
    """Trained weights of a model, in safetensors format."""
    return Path("models") / model / "weights.safetensors"


def onnx(model: str) -> Path:
    """Exported network of a model."""
    return Path("models") / model / "model.onnx"


def int8(model: str) -> Path:
    """The same in INT8, where it is offered; its folder is an output of the export stage, and empty where it is not."""
    return Path("models") / model / "int8" / "model.onnx"


def model_card(model: str) -> Path:
    """Model card in Markdown; the page that shows it lies beside it."""
    return report("card", model) / "model_card.md"


def report(stage: str, model: str) -> Path:
    """Folder of what `stage` reports of `model`."""
    return Path("reports") / stage / model
