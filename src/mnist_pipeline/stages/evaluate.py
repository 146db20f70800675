"""Measures one trained model on the test set, by which no parameter of a training was chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mnist_pipeline import console, paths
from mnist_pipeline.data.catalog import TEST_LABELS
from mnist_pipeline.data.dataset import Split, load_split, stratified_split
from mnist_pipeline.devices import choose_device, make_deterministic
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation import attack, figures, robustness
from mnist_pipeline.evaluation.bootstrap import bootstrap_intervals
from mnist_pipeline.evaluation.calibration import fit_temperature
from mnist_pipeline.evaluation.metrics import Evaluation, evaluate
from mnist_pipeline.evaluation.out_of_distribution import (
    detection_summary,
    detection_table,
    detection_threshold,
    familiarity,
    out_of_distribution_images,
)
from mnist_pipeline.evaluation.predictions import predict_logits
from mnist_pipeline.evaluation.selection import area_under_risk, rounded_area, selection_table
from mnist_pipeline.evaluation.slices import slice_table, worst_slice
from mnist_pipeline.files import write_bytes, write_json, write_text
from mnist_pipeline.models import load_classifier
from mnist_pipeline.params import Params


@dataclass(frozen=True)
class Report:
    """Numbers, and the tables and pictures by the names of their files."""

    summary: dict[str, Any]
    tables: Mapping[str, pd.DataFrame]
    pictures: Mapping[str, bytes]


def run(params: Params, model: str) -> None:
    """Writes the numbers, tables and pictures of `model` on the test set, and adds them to its row in MLflow."""
    from mnist_pipeline.tracking.publish import publish_evaluation

    device = choose_device("evaluate.device", params.evaluate.device)
    make_deterministic()
    classifier, description = load_classifier(paths.weights(model))
    split = load_split(paths.RAW, "test")
    _check_labels(split, description.label_names, model)
    report = _measure(params, model, classifier, description.label_names, split, device)
    _write(paths.report("evaluate", model), report)
    console.say(_line(model, report.summary, params.evaluate.confidence))
    publish_evaluation(params, model)


def _measure(
    params: Params, model: str, classifier: nn.Module, names: Sequence[str], split: Split, device: torch.device
) -> Report:
    settings = params.evaluate
    labels = torch.tensor(split.labels).long()
    logits = predict_logits(classifier, split.images, device)
    temperature = _temperature(classifier, params, device)
    found, scaled = (
        evaluate(outputs, labels, names, settings.confidence, settings.calibration_bins)
        for outputs in (logits, logits / temperature)
    )
    selection = selection_table(found.predictions)
    slices = slice_table(split.images, (logits.argmax(1) == labels).numpy(), settings.confidence)
    parts = [
        _robustness(model, classifier, split, device, found.summary["accuracy"]),
        _attack(model, classifier, names, split, device),
        _out_of_distribution(classifier, split, device, logits, params.data.dataset),
    ]
    summary = found.summary | {
        "temperature": round(temperature, 4),
        **{f"{name}_scaled": scaled.summary[name] for name in ("loss", "expected_calibration_error")},
        "area_under_risk": rounded_area(area_under_risk(found.predictions)),
        **bootstrap_intervals(logits, labels, settings.confidence, settings.calibration_bins),
        **worst_slice(slices),
    }
    tables = {
        "predictions": found.predictions,
        "per_class": found.by_class,
        "reliability": pd.concat(
            [found.reliability.assign(temperature=1.0), scaled.reliability.assign(temperature=temperature)]
        ),
        "selection": selection,
        "slices": slices,
    }
    pictures = {
        "confusion": figures.draw_confusion(found.confusion),
        "reliability": figures.draw_reliability(found.reliability, scaled.reliability, summary),
        "mistakes": _mistakes(found, split, settings.mistakes),
        "selection": figures.draw_selection(selection),
        "slices": figures.draw_slices(slices, summary["accuracy"]),
    }
    return _joined([Report(summary, tables, pictures), *parts])


def _robustness(model: str, classifier: nn.Module, split: Split, device: torch.device, clean: float) -> Report:
    with console.progress(f"evaluate {model}: corruptions", robustness.ROUNDS * len(split)) as advance:
        table, examples = robustness.robustness_table(classifier, split.images, split.labels, device, advance)
    picture = figures.draw_robustness(table, clean, examples, robustness.SHOWN)
    return Report({"robustness": robustness.robustness_summary(table)}, {"robustness": table}, {"robustness": picture})


def _attack(model: str, classifier: nn.Module, names: Sequence[str], split: Split, device: torch.device) -> Report:
    with console.progress(f"evaluate {model}: attack", attack.ROUNDS * len(split)) as advance:
        found = attack.attack(classifier, split.images, split.labels, names, device, advance)
    picture = figures.draw_attack(found.table, found.examples, found.images)
    return Report({"attack": attack.attack_summary(found.table)}, {"attack": found.table}, {"attack": picture})


def _out_of_distribution(
    classifier: nn.Module, split: Split, device: torch.device, logits: Tensor, dataset: str
) -> Report:
    """`logits` are those of the test images."""
    kinds = out_of_distribution_images(split.images, dataset)
    others = {kind: predict_logits(classifier, images, device) for kind, images in kinds.items()}
    table = detection_table(logits, others)
    scores = {kind: familiarity(outputs) for kind, outputs in {"test images": logits, **others}.items()}
    examples = {"test images": split.images, **kinds}
    threshold = detection_threshold(scores["test images"])
    picture = figures.draw_out_of_distribution(table, scores, examples, threshold)
    name = "out_of_distribution"
    return Report({name: detection_summary(table)}, {name: table}, {name: picture})


def _joined(reports: Sequence[Report]) -> Report:
    return Report(
        {key: value for report in reports for key, value in report.summary.items()},
        {name: table for report in reports for name, table in report.tables.items()},
        {name: picture for report in reports for name, picture in report.pictures.items()},
    )


def _write(folder: Path, report: Report) -> None:
    write_json(folder / "metrics.json", report.summary)
    for name, table in report.tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    for name, picture in report.pictures.items():
        write_bytes(folder / f"{name}.png", picture)


def _check_labels(split: Split, label_names: list[str], model: str) -> None:
    unknown = np.flatnonzero(split.labels >= len(label_names))
    if len(unknown):
        raise PipelineError(
            f"{paths.RAW / TEST_LABELS}: image {unknown[0]} has label {split.labels[unknown[0]]}, but {model} was "
            f"trained on labels 0 to {len(label_names) - 1}: give the training set images of every label"
        )


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


def _line(model: str, summary: Mapping[str, Any], confidence: float) -> str:
    return (
        f"evaluate {model}: accuracy {summary['accuracy']:.2%}, {summary['errors']:,} errors in "
        f"{summary['images']:,} images; at {confidence:.0%} confidence the accuracy is within "
        f"{summary['accuracy_low']:.2%} and {summary['accuracy_high']:.2%}"
    )
