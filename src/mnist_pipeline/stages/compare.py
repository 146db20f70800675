"""Compares the models on the same test images, and shows which images all of them miss."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_pipeline import console, paths
from mnist_pipeline.comparison.label_errors import missed_by_all
from mnist_pipeline.comparison.paired import comparison_lines, joined, pair_table
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.figures import image_grid, shorten
from mnist_pipeline.files import fresh_folder, read_table, write_bytes, write_json, write_table
from mnist_pipeline.formats import file_digest
from mnist_pipeline.params import Params


def run(params: Params) -> None:
    """Write what the predictions of all models show together, and publish it."""
    from mnist_pipeline.tracking.publish import publish

    images = load_split(paths.RAW, "test").images
    files = {model: paths.PREDICTIONS / f"{model}.csv" for model in params.models}
    for path in sorted(paths.PREDICTIONS.glob("*")):
        if path not in files.values():  # it would be part of the folder's digest here, and nowhere else
            raise PipelineError(f"{path}: not of a model in models of {paths.PARAMS}: delete it")
    columns = {"image": int, "label": str, "predicted": str, "confidence": float}
    predictions = {model: read_table(path, columns) for model, path in files.items()}
    first = params.models[0]
    for model, table in predictions.items():
        if table["image"].tolist() != list(range(len(images))):
            raise PipelineError(f"{files[model]}: not of the {len(images):,} test images in {paths.RAW}: run dvc repro")
        if not table["label"].equals(predictions[first]["label"]):
            raise PipelineError(f"{files[model]}: other labels than in {files[first]}: run dvc repro")

    pairs = pair_table(predictions, params.evaluate.confidence)
    missed = missed_by_all(predictions, params.compare.significance)
    rows = []
    for model, table in predictions.items():
        errors = int((table["label"] != table["predicted"]).sum())
        rows.append((model, 1 - errors / len(images), errors, file_digest(files[model], "md5")))  # as dvc.lock has it
    models = pd.DataFrame(rows, columns=["model", "accuracy", "errors", "predictions_md5"])
    summary = {
        "images": len(images),
        "models": len(models),
        "missed_by_all": len(missed),
        "suspected_labels": int((missed["suspected_label"] != "").sum()),
    }
    with fresh_folder(paths.COMPARISON / "tables") as tables:
        for name, table in {"models": models, "pairs": pairs, "missed_by_all": missed}.items():
            write_table(tables / f"{name}.csv", table, "%.6g")
    with fresh_folder(paths.COMPARISON / "figures") as figures:
        write_bytes(figures / "missed_by_all.png", draw_missed(images, missed, params.models, params.compare.mistakes))
    write_json(paths.COMPARISON / "metrics.json", summary)
    for line in comparison_lines(summary, pairs, params.models, params.evaluate.confidence):
        console.info(f"compare: {line}")
    publish(params, "compare")


def draw_missed(images: NDArray[np.uint8], missed: pd.DataFrame, models: list[str], most: int) -> bytes:
    """A grid of the first `most` images that every model mistakes; those of which the label is suspected are framed."""
    shown, captions, details = missed.head(most), [], []
    for row in shown.to_dict("records"):
        predicted = dict.fromkeys(shorten(row[f"{model}_predicted"]) for model in models)
        captions.append(f"{shorten(row['label'])} → {', '.join(predicted)}")
        confidences = ", ".join(f"{row[f'{model}_confidence']:.0%}" for model in models)
        details.append(f"{confidences}  #{row['image']}")
    count = f"{len(shown):,}" if len(shown) == len(missed) else f"{len(shown):,} of {len(missed):,}"
    explained = "label → predictions, confidences, number of the image\nframed: the label may be wrong"
    heading = f"{count} test images missed by {joined(models)}\n{explained}"
    if missed.empty:
        heading = f"No test image is missed\nby {joined(models)}"
    framed = (shown["suspected_label"] != "").tolist()
    return image_grid(heading, images[shown["image"].to_numpy()], captions, details, framed)
