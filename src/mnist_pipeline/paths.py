"""Every path of the project, relative to the repository root, where DVC runs each stage.

`dvc.yaml` names the outputs too, so a file that moves is another output there, and no stage depends on this module.
"""

from pathlib import Path

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
"""What DVC recorded when it last ran the stages."""
PIPELINE = Path("dvc.yaml")
SUITES = Path("suites")
"""What validation expects of each data set."""
SWEEPS = Path("sweeps")
"""What a search may try for each model."""
INIT = Path("init")
"""Weights that a training may start from."""
RAW = Path("data/raw")
CLASSES = Path("data/classes.json")
"""The names of the classes, in the order of the labels."""
DOWNLOAD_CACHE = Path(".cache/download")
"""Where whole verified downloads wait for their siblings; git-ignored, unknown to DVC."""
DATA_DOCS = Path(".cache/data_docs")
"""Great Expectations' Data Docs: they carry timestamps, so DVC does not hash them."""
CHECKPOINTS = Path(".cache/checkpoints")
"""What trainings that have not ended resume from."""
PROMOTION_LOCK = Path(".cache/promotion.lock")
STUDIES = Path("mlruns/sweeps.db")
"""Optuna's studies; in `mlruns`, so that they move with the runs of their trials."""
SYNCED = Path("mlruns/synced")
"""What the last complete `sync` has read, and where it wrote; in `mlruns`, so that it moves with the runs."""
PUBLISHED = Path("published")
"""The DVC remote that comes with the repository."""
VALIDATION = Path("reports/validate")
VERDICT = VALIDATION / "verdict.json"
"""That the data passed, and their digest: all of validation that training depends on."""
PREDICTIONS = Path("reports/evaluate/predictions")
"""A file for each model, by which compare reads them all."""
COMPARISON = Path("reports/compare")


def weights(model: str) -> Path:
    """Trained weights of a model, in safetensors format."""
    return Path("models") / model / "weights.safetensors"


def onnx(model: str) -> Path:
    """Exported network of a model."""
    return Path("models") / model / "model.onnx"


def int8(model: str) -> Path:
    """The same in INT8, where it is shipped; its folder is an output of the export stage, and empty where it is not."""
    return Path("models") / model / "int8" / "model.onnx"


def model_card(model: str) -> Path:
    """Model card in Markdown; the page that shows it lies beside it."""
    return report("card", model) / "model_card.md"


def report(stage: str, model: str) -> Path:
    """Folder of what `stage` reports of `model`."""
    return Path("reports") / stage / model
