"""The evaluate stage measures what the weights on disk predict, with every analysis of the package."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.data.idx import TEST_LABELS, TRAIN_LABELS, format_idx, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation import analysis
from mnist_pipeline.evaluation.analysis import EvaluationInput
from mnist_pipeline.files import read_json
from mnist_pipeline.models.weights import load_classifier, save_weights
from mnist_pipeline.stages import evaluate
from networks import describe, random_classifier

QUICK = ("accuracy", "calibration", "selection", "slices")
"""Analyses that predict no other images."""
SCALARS = """
accuracy accuracy_high accuracy_low attack_accuracy_16 calibration_error corruption_accuracy corruption_accuracy_worst
errors f1 loss ood_auroc worst_slice_accuracy"""
TABLES = "attack calibration corruptions measures out_of_distribution per_class reliability risk selection slices"
FIGURES = "attack confusion corruptions mistakes out_of_distribution reliability selection slices"
BRIGHTNESS = """
import pandas as pd
from mnist_pipeline.evaluation.analysis import Result

def analyse(test):
    return Result({"%s": 1.0}, {"brightness": pd.DataFrame({"mean": [1]})}, {"brightness": b"png"}, "## Brightness")
"""


def reports(model: str) -> dict[str, bytes]:
    folder = paths.report("evaluate", model)
    files = [paths.PREDICTIONS / f"{model}.csv", *(path for path in folder.rglob("*") if path.is_file())]
    return {path.relative_to("reports/evaluate").as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    every = evaluate.find_analyses
    monkeypatch.setattr(evaluate, "find_analyses", lambda: [it for it in every() if it.__name__.endswith(QUICK)])


def test_every_analysis_gives_its_reports_whatever_the_order(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = paths.report("evaluate", "lenet")
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True)
        (folder / name / "of an earlier run").touch()
    evaluate.run(workplace.params, "lenet")
    found = reports("lenet")
    assert set(found) == {
        *("lenet/findings.md", "lenet/metrics.json", "predictions/lenet.csv"),
        *(f"lenet/tables/{name}.csv" for name in TABLES.split()),
        *(f"lenet/figures/{name}.png" for name in FIGURES.split()),
    }
    metrics = read_json(folder / "metrics.json")
    assert sorted(metrics) == SCALARS.split()
    assert len(metrics) + 4 + 4 <= 20, "with those of train and export, on one screen of dvc metrics show"
    table = pd.read_csv(paths.PREDICTIONS / "lenet.csv")
    assert list(table.columns) == ["image", "label", "predicted", "confidence"]
    assert table["label"].tolist() == load_split(paths.RAW, "test").labels.tolist()
    assert metrics["errors"] == (table["label"] != table["predicted"]).sum() > 0
    headings = [line for line in found["lenet/findings.md"].decode().splitlines() if line.startswith("## ")]
    assert (headings[0], len(headings)) == ("## Accuracy", 7)
    assert workplace.published == [("evaluate", "lenet", {})]

    analyses = evaluate.find_analyses()
    monkeypatch.setattr(evaluate, "find_analyses", lambda: analyses[::-1])
    evaluate.run(workplace.params, "lenet")
    assert {name for name, content in reports("lenet").items() if content != found[name]} == {"lenet/findings.md"}


def test_a_new_module_is_all_that_a_new_analysis_takes(
    workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, former = evaluate.evaluation, evaluate.find_analyses()
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    (tmp_path / "zero_analysis.py").write_text(BRIGHTNESS % "brightness")
    (tmp_path / "zero_helper.py").touch()
    found = evaluate.find_analyses()
    *others, added = found
    assert (others, added.__name__) == (former, "mnist_pipeline.evaluation.zero_analysis")
    monkeypatch.setattr(evaluate, "find_analyses", lambda: [former[0], added])
    evaluate.run(workplace.params, "mlp")
    folder = paths.report("evaluate", "mlp")
    assert read_json(folder / "metrics.json")["brightness"] == 1
    assert (folder / "tables/brightness.csv").exists()
    assert (folder / "figures/brightness.png").read_bytes() == b"png"
    assert (folder / "findings.md").read_text().endswith("\n\n## Brightness\n")
    monkeypatch.setattr(evaluate, "find_analyses", lambda: [former[0], added, added])
    with pytest.raises(ValueError, match="brightness"):
        evaluate.run(workplace.params, "mlp")


def test_every_setting_acts_on_its_reports_alone(workplace, quick) -> None:
    settings, before = workplace.params.evaluate, {}
    calibration = "findings.md figures/reliability.png tables/calibration.csv tables/reliability.csv "
    intervals = "metrics.json figures/slices.png tables/measures.csv tables/risk.csv tables/slices.csv"
    for setting, changed in (
        ({}, ""),
        ({}, ""),
        ({"mistakes": 2}, "figures/mistakes.png"),
        ({"calibration_bins": 60}, calibration + "metrics.json"),
        ({"confidence": 0.5}, calibration + intervals),
    ):
        workplace.change("evaluate", **settings.model_dump() | setting)
        evaluate.run(workplace.params, "mlp")
        found = reports("mlp")
        before = before or found
        different = {name for name, content in found.items() if content != before[name]}
        assert different == {f"mlp/{name}" for name in changed.split()}, setting


def test_a_device_that_is_not_here_is_named(workplace) -> None:
    absent = "cuda" if torch.backends.mps.is_available() else "mps"
    workplace.change("evaluate", device=absent)
    with pytest.raises(PipelineError, match=rf"^evaluate\.device = {absent}: "):
        evaluate.run(workplace.params, "mlp")


@pytest.mark.parametrize(("file", "split"), [(TEST_LABELS, "test"), (TRAIN_LABELS, "train")])
def test_a_label_that_the_model_has_no_class_for_is_named(workplace, file: str, split: str) -> None:
    labels = read_idx(paths.RAW / file).copy()
    labels[17] = 10
    (paths.RAW / file).write_bytes(format_idx(labels))
    with pytest.raises(PipelineError, match=rf"^data/raw: image 17 of {split} has label 10"):
        evaluate.run(workplace.params, "lenet")
    assert not paths.report("evaluate", "lenet").exists()
    assert not workplace.published


@pytest.mark.parametrize("value", [np.nan, 3e38])
def test_weights_that_give_no_numbers_are_named(workplace, value: float) -> None:
    network = random_classifier(describe("mlp")).network
    with torch.no_grad():
        next(network.parameters())[0] = value
    save_weights(paths.weights("mlp"), network, describe("mlp"))
    with pytest.raises(PipelineError, match=r"models/mlp/weights\.safetensors: .* finite"):
        evaluate.run(workplace.params, "mlp")
    assert not paths.report("evaluate", "mlp").exists()


@pytest.mark.parametrize("model", ["lenet", "mlp"])
def test_predictions_do_not_depend_on_batch_or_order(
    workplace, given: EvaluationInput, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    given = replace(given, classifier=load_classifier(paths.weights(model))[0])
    expected, order = given.predict(given.images), np.random.default_rng(0).permutation(len(given.images))
    monkeypatch.setattr(analysis, "batch_size", lambda shape: 7)
    torch.testing.assert_close(given.predict(given.images[order]), expected[order], rtol=0, atol=1e-5)
