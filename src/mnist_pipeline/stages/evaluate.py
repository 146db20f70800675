"""Measures one trained model on the test set, by which nothing was chosen."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from mnist_pipeline import console, paths
from mnist_pipeline.data.catalog import TEST_LABELS
from mnist_pipeline.data.dataset import Split, load_split, stratified_split
from mnist_pipeline.devices import choose_device, make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation import figures
from mnist_pipeline.evaluation.calibration import fit_temperature
from mnist_pipeline.evaluation.corruptions import CORRUPTIONS, corrupted
from mnist_pipeline.evaluation.metrics import DECIMALS, Evaluation, evaluate, robustness_summary
from mnist_pipeline.evaluation.predictions import predict_logits
from mnist_pipeline.evaluation.selection import area_under_risk, selection_table
from mnist_pipeline.evaluation.slices import slice_table
from mnist_pipeline.files import write_bytes, write_json, write_text
from mnist_pipeline.models import load_classifier
from mnist_pipeline.params import Params

SHOWN = 3
"""The strength of which each corruption shows an example."""
ROUNDS = sum(len(strengths) for _, strengths in CORRUPTIONS.values())


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
    known = labels, description.label_names, settings.confidence, settings.calibration_bins
    evaluation = evaluate(logits, *known)
    temperature = _temperature(classifier, params, device)
    scaled = evaluate(logits / temperature, *known)
    correct = (logits.argmax(1) == labels).numpy()
    slices = slice_table(split.images, correct, settings.confidence)
    robustness, examples = _robustness(classifier, split, device, model)
    selection = selection_table(evaluation.predictions)

    folder = paths.report("evaluate", model)
    summary = evaluation.summary | {
        "temperature": round(temperature, 4),
        **{f"{name}_scaled": scaled.summary[name] for name in ("loss", "expected_calibration_error")},
        "area_under_risk": round(area_under_risk(evaluation.predictions), DECIMALS),
        "worst_slice": round(float(slices["accuracy"].min()), DECIMALS),
        "robustness": robustness_summary(robustness),
    }
    write_json(folder / "metrics.json", summary)
    tables = {
        "predictions": evaluation.predictions,
        "per_class": evaluation.by_class,
        "reliability": evaluation.reliability,
        "selection": selection,
        "slices": slices,
        "robustness": robustness,
    }
    pictures = {
        "confusion": figures.draw_confusion(evaluation.confusion),
        "reliability": figures.draw_reliability(evaluation.reliability, scaled.reliability, summary),
        "mistakes": _mistakes(evaluation, split, settings.mistakes),
        "selection": figures.draw_selection(selection),
        "slices": figures.draw_slices(slices, summary["accuracy"]),
        "robustness": figures.draw_robustness(robustness, summary["accuracy"], examples),
    }
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    for name, picture in pictures.items():
        write_bytes(folder / f"{name}.png", picture)
    console.say(_line(model, evaluation, settings.confidence))
    publish_evaluation(params, model)


def _check_labels(split: Split, label_names: list[str], model: str) -> None:
    unknown = np.flatnonzero(split.labels >= len(label_names))
    if len(unknown):
        raise PipelineError(
            f"{paths.RAW / TEST_LABELS}: image {unknown[0]} has label {split.labels[unknown[0]]}, but {model} was "
            f"trained on labels 0 to {len(label_names) - 1}: give the training set images of every label"
        )


def _robustness(
    classifier: nn.Module, split: Split, device: torch.device, model: str
) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """Accuracy under each corruption at each strength, and the first image under the middle strength of each."""
    rows, examples = [], []
    with console.progress(f"evaluate {model}: corruptions", ROUNDS * len(split)) as advance:
        for name, strength, images in corrupted(split.images):
            predicted = predict_logits(classifier, images, device).argmax(1).numpy()
            rows.append((name, strength, float((predicted == split.labels).mean())))
            if strength == SHOWN:
                examples.append(images[0])
            advance(len(split))
    return pd.DataFrame(rows, columns=["corruption", "strength", "accuracy"]), np.stack(examples)


def _temperature(classifier: nn.Module, params: Params, device: torch.device) -> float:
    """Fitted on the images that training held out, so that the test images choose nothing."""
    train = load_split(paths.RAW, "train")
    _, held_out = stratified_split(train.labels, params.train.validation_size, params.train.seed)
    validation = train.take(held_out)
    logits = predict_logits(classifier, validation.images, device)
    return fit_temperature(logits, torch.tensor(validation.labels).long())


def _mistakes(evaluation: Evaluation, split: Split, most: int) -> bytes:
    shown = evaluation.mistakes.head(most)
    return figures.draw_mistakes(split.images[shown["image"].to_numpy()], shown, evaluation.summary["errors"])


def _line(model: str, evaluation: Evaluation, confidence: float) -> str:
    summary = evaluation.summary
    return (
        f"evaluate {model}: accuracy {summary['accuracy']:.2%}, {summary['errors']:,} errors in "
        f"{summary['images']:,} images; at {confidence:.0%} confidence the accuracy is within "
        f"{summary['accuracy_low']:.2%} and {summary['accuracy_high']:.2%}"
    )
