"""Compares the models on the same test images, and shows which images all of them miss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_pipeline import console, paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.comparison import pair_table, tell
from mnist_pipeline.evaluation.figures import draw_missed_by_all
from mnist_pipeline.evaluation.label_errors import missed_by_all
from mnist_pipeline.files import file_digest, write_bytes, write_json, write_text
from mnist_pipeline.params import Params

DECIMALS = 6
FRACTIONS = ("accuracy", "other_accuracy", "difference", "difference_low", "difference_high")
"""Columns of the table of pairs; p-values have a precision of their own."""
AGAIN = "run dvc repro"
COLUMNS = {"image": int, "label": str, "predicted": str, "confidence": float}


def run(params: Params) -> None:
    """Writes what the predictions of all models say together, and publishes it.

    Raises:
        PipelineError: predictions are missing, or not of the same images as the others'.
    """
    from mnist_pipeline.tracking.publish import publish_comparison

    predictions = {model: _read(_predictions(model)) for model in params.models}
    images = load_split(paths.RAW, "test").images
    _demand_same_images(predictions, len(images))
    pairs = pair_table(predictions, params.evaluate.confidence)
    missed = missed_by_all(predictions, params.compare.significance)
    shown = missed.head(params.compare.mistakes)
    summary = _summary(pairs, missed, len(images))
    write_json(paths.COMPARISON / "metrics.json", summary)
    for name, table in {"models": _models(predictions), "pairs": pairs, "missed_by_all": missed}.items():
        _write_table(paths.COMPARISON / f"{name}.csv", table)
    picture = draw_missed_by_all(images[shown["image"].to_numpy()], shown, params.models, len(missed))
    write_bytes(paths.COMPARISON / "missed_by_all.png", picture)
    for line in tell(summary, params.models, params.evaluate.confidence):
        console.say(f"compare: {line}")
    publish_comparison(params)


def _predictions(model: str) -> Path:
    return paths.report("evaluate", model) / "predictions.csv"


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise PipelineError(f"{path}: missing: run dvc repro, or mnist-pipeline evaluate {path.parent.name}, first")
    try:
        return pd.read_csv(path, usecols=list(COLUMNS), dtype=COLUMNS, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise PipelineError(f"{path}: not the table that evaluate writes: run dvc checkout, or dvc repro") from error


def _demand_same_images(predictions: Mapping[str, pd.DataFrame], images: int) -> None:
    first, *_ = predictions
    for model, table in predictions.items():
        if table["image"].tolist() != list(range(images)):
            raise PipelineError(f"{_predictions(model)}: not of the {images:,} test images in {paths.RAW}: {AGAIN}")
        if not table["label"].equals(predictions[first]["label"]):
            raise PipelineError(f"{_predictions(model)}: other labels than in {_predictions(first)}: {AGAIN}")


def _models(predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What was compared; the MD5 is that of the predictions, as `dvc.lock` has it."""
    wrong = {model: int((table["label"] != table["predicted"]).sum()) for model, table in predictions.items()}
    return pd.DataFrame(
        {
            "model": list(predictions),
            "accuracy": [1 - wrong[model] / len(table) for model, table in predictions.items()],
            "errors": list(wrong.values()),
            "predictions_md5": [file_digest(_predictions(model), "md5") for model in predictions],
        }
    )


def _summary(pairs: pd.DataFrame, missed: pd.DataFrame, images: int) -> dict[str, Any]:
    rows = pairs.round(dict.fromkeys(FRACTIONS, DECIMALS)).to_dict("records")
    return {
        "images": images,
        "missed_by_all": len(missed),
        "suspected_labels": int((missed["suspected_label"] != "").sum()),
        "pairs": {f"{row.pop('model')} against {row.pop('other')}": row for row in rows},
    }


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
