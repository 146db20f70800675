"""Measures one trained model on the test set, by which nothing was chosen."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mnist_pipeline import console, paths
from mnist_pipeline.data.catalog import TEST_LABELS
from mnist_pipeline.data.dataset import Split, load_split
from mnist_pipeline.devices import choose_device, make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation import figures
from mnist_pipeline.evaluation.metrics import Evaluation, evaluate
from mnist_pipeline.evaluation.predictions import predict_logits
from mnist_pipeline.files import write_bytes, write_json, write_text
from mnist_pipeline.models import load_classifier
from mnist_pipeline.params import Params


def run(params: Params, model: str) -> None:
    """Writes the numbers, tables and pictures of `model` on the test set, and adds them to its row in MLflow."""
    from mnist_pipeline.tracking.publish import publish_evaluation

    settings = params.evaluate
    device = choose_device("evaluate.device", settings.device)
    make_deterministic()
    classifier, description = load_classifier(paths.weights(model))
    split = load_split(paths.RAW, "test")
    _check_labels(split, description.label_names, model)
    logits = predict_logits(classifier, split.images, device)
    labels = torch.tensor(split.labels).long()
    evaluation = evaluate(logits, labels, description.label_names, settings.confidence, settings.calibration_bins)
    _write_tables(model, evaluation)
    _write_pictures(model, evaluation, split, settings.mistakes)
    console.say(_line(model, evaluation, settings.confidence))
    publish_evaluation(params, model)


def _check_labels(split: Split, label_names: list[str], model: str) -> None:
    unknown = np.flatnonzero(split.labels >= len(label_names))
    if len(unknown):
        raise PipelineError(
            f"{paths.RAW / TEST_LABELS}: image {unknown[0]} has label {split.labels[unknown[0]]}, but {model} was "
            f"trained on labels 0 to {len(label_names) - 1}: give the training set images of every label"
        )


def _write_tables(model: str, evaluation: Evaluation) -> None:
    folder = paths.report("evaluate", model)
    write_json(folder / "metrics.json", evaluation.summary)
    _write_csv(folder / "predictions.csv", evaluation.predictions)
    _write_csv(folder / "per_class.csv", evaluation.by_class)
    _write_csv(folder / "reliability.csv", evaluation.reliability)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def _write_pictures(model: str, evaluation: Evaluation, split: Split, most: int) -> None:
    folder = paths.report("evaluate", model)
    calibration_error = evaluation.summary["expected_calibration_error"]
    shown = evaluation.mistakes.head(most)
    images = split.images[shown["image"].to_numpy()]
    write_bytes(folder / "confusion.png", figures.draw_confusion(evaluation.confusion))
    write_bytes(folder / "reliability.png", figures.draw_reliability(evaluation.reliability, calibration_error))
    write_bytes(folder / "mistakes.png", figures.draw_mistakes(images, shown, evaluation.summary["errors"]))


def _line(model: str, evaluation: Evaluation, confidence: float) -> str:
    summary = evaluation.summary
    return (
        f"evaluate {model}: accuracy {summary['accuracy']:.2%}, {summary['errors']:,} errors in "
        f"{summary['images']:,} images; at {confidence:.0%} confidence the accuracy is within "
        f"{summary['accuracy_low']:.2%} and {summary['accuracy_high']:.2%}"
    )
