"""Measures one trained model on the test set, by which no parameter of a training was chosen."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from mnist_pipeline import console, evaluation, paths
from mnist_pipeline.data.catalog import of_strokes
from mnist_pipeline.data.dataset import load_split, validation_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation.analysis import EvaluationInput, Result, predict_logits
from mnist_pipeline.files import fresh_folder, write_bytes, write_json, write_table, write_text
from mnist_pipeline.models.weights import load_classifier
from mnist_pipeline.params import Params
from mnist_pipeline.training.devices import choose_device, make_deterministic


def run(params: Params, model: str) -> None:
    """Write the scalars, tables, figures and findings of `model` on the test set, and add them to its run in MLflow."""
    from mnist_pipeline.tracking.publish import publish

    device = choose_device("evaluate.device", params.evaluate.device)
    make_deterministic()
    classifier, description = load_classifier(paths.weights(model))
    train, test = load_split(paths.RAW, "train"), load_split(paths.RAW, "test")
    names = description.label_names
    for split, labels in (("train", train.labels), ("test", test.labels)):
        for image in np.flatnonzero(labels >= len(names)):
            raise PipelineError(
                f"{paths.RAW}: image {image} of {split} has label {labels[image]}, but {model} was trained on labels 0 "
                f"to {len(names) - 1}: give the training set images of every label, and train again"
            )
    validation = train.take(validation_split(train.labels, params.train.validation_share, params.train.seed)[1])
    analyses = find_analyses()
    passes = sum(getattr(analysis, "PASSES", 0) for analysis in analyses)
    try:
        with console.progress(f"evaluate {model}", passes * len(test)) as on_progress:
            given = EvaluationInput(
                classifier=classifier,
                images=test.images,
                labels=test.labels,
                label_names=names,
                logits=predict_logits(classifier, test.images, device),
                validation_logits=predict_logits(classifier, validation.images, device),
                validation_labels=validation.labels,
                settings=params.evaluate,
                device=device,
                dataset=params.data.dataset,
                of_strokes=of_strokes(params.data),
                on_progress=on_progress,
            )
            results: list[Result] = [analysis.analyse(given) for analysis in analyses]
    except FloatingPointError as error:
        raise PipelineError(f"{paths.weights(model)}: {error}: run the train stage again") from error

    folder, scalars = paths.report("evaluate", model), merged(result.scalars for result in results)
    write_table(paths.PREDICTIONS / f"{model}.csv", given.predictions, "%.6g")
    with fresh_folder(folder / "tables") as tables:
        for name, table in merged(result.tables for result in results).items():
            write_table(tables / f"{name}.csv", table, "%.6g")
    with fresh_folder(folder / "figures") as figures:
        for name, figure in merged(result.figures for result in results).items():
            write_bytes(figures / f"{name}.png", figure)
    write_text(folder / "findings.md", "\n\n".join(result.card for result in results if result.card) + "\n")
    write_json(folder / "metrics.json", {name: round(value, 6) for name, value in scalars.items()})
    console.info(
        f"evaluate {model}: accuracy {scalars['accuracy']:.2%}, {scalars['errors']:,} errors in {len(test):,} images; "
        f"at {params.evaluate.confidence:.0%} confidence the accuracy is within {scalars['accuracy_low']:.2%} and "
        f"{scalars['accuracy_high']:.2%}"
    )
    publish(params, "evaluate", model)


def find_analyses() -> list[ModuleType]:
    """The modules of the package `evaluation` that have a function `analyse`, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(evaluation.__path__))
    modules = [importlib.import_module(f"{evaluation.__name__}.{name}") for name in names]
    return [module for module in modules if hasattr(module, "analyse")]


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        if twice := whole.keys() & part.keys():
            raise ValueError(f"two analyses give a result the name {min(twice)}")
        whole |= part
    return whole
