"""Writes the model card of one exported model, from what the other stages reported."""

import csv
from pathlib import Path
from typing import Any

from mnist_pipeline import console, paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.model_card import Reports, Subject, model_card, to_html
from mnist_pipeline.files import file_digest, read_json, write_text
from mnist_pipeline.params import Params

PICTURES = {
    "Which label is taken for which": "confusion.png",
    "Whether its confidence is right": "reliability.png",
    "Accuracy on images that were changed": "robustness.png",
    "Its most confident mistakes": "mistakes.png",
}
"""Of the evaluation, with what the card says above each."""


def run(params: Params, model: str) -> None:
    """Writes the card as Markdown and as a page, and adds both to the row of `model` in MLflow.

    Raises:
        PipelineError: a report is missing.
    """
    from mnist_pipeline.tracking.publish import publish_card

    reports = Reports(
        validate=_report(paths.VALIDATION),
        train=_report(paths.report("train", model)),
        evaluate=_report(paths.report("evaluate", model)),
        export=_report(paths.report("export", model)),
        compare=_report(paths.COMPARISON),
    )
    subject = _subject(params, model, reports)
    card = model_card(subject, reports)
    pictures = {title: (paths.report("evaluate", model) / name).read_bytes() for title, name in PICTURES.items()}
    page = paths.model_card(model).with_suffix(".html")
    write_text(paths.model_card(model), card)
    write_text(page, to_html(card, f"Model card: {model}", pictures))
    console.say(f"card {model}: {page}")
    publish_card(params, model)


def _report(folder: Path) -> Any:
    path = folder / "metrics.json"
    if not path.exists():
        raise PipelineError(f"{path}: missing: run dvc repro first")
    return read_json(path)


def _label_names(table: Path) -> list[str]:
    """In their order, which the metrics, sorted by name, do not keep."""
    with table.open(newline="", encoding="utf-8") as lines:
        return [row["label"] for row in csv.DictReader(lines)]


def _subject(params: Params, model: str, reports: Reports) -> Subject:
    files = [path for path in (paths.weights(model), paths.onnx(model), paths.int8(model)) if path.exists()]
    return Subject(
        model=model,
        dataset=params.data.dataset,
        label_names=_label_names(paths.report("evaluate", model) / "per_class.csv"),
        intended_use=params.card.intended_use,
        out_of_scope=params.card.out_of_scope,
        settings=params.train.model_dump(include={"seed", "validation_size"}) | params.training(model).model_dump(),
        files={str(path): file_digest(path, "md5") for path in files},
        confidence=params.evaluate.confidence,
        int8_confidence=1 - params.export.significance,
    )
