"""The evaluate stage measures what the weights on disk predict, and every report agrees with the others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mnist_pipeline import paths
from mnist_pipeline.data.catalog import TEST_LABELS
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.data.idx import format_idx, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.evaluation import predictions
from mnist_pipeline.evaluation.corruptions import CORRUPTIONS
from mnist_pipeline.evaluation.predictions import predict_logits
from mnist_pipeline.files import read_json
from mnist_pipeline.models import load_classifier
from mnist_pipeline.stages import evaluate

CPU = torch.device("cpu")
MODELS = ["lenet", "mlp"]


def report(model: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths.report("evaluate", model).iterdir()}


@pytest.mark.parametrize("model", MODELS)
def test_the_reports_agree_with_each_other(workplace, model: str) -> None:
    evaluate.run(workplace.params, model)
    folder = paths.report("evaluate", model)
    metrics = read_json(folder / "metrics.json")
    table = pd.read_csv(folder / "predictions.csv")
    by_class = pd.read_csv(folder / "per_class.csv")
    reliability = pd.read_csv(folder / "reliability.csv")

    wrong = table[table["label"] != table["predicted"]]
    assert list(table.columns) == ["image", "label", "predicted", "confidence"]
    assert table["label"].tolist() == load_split(paths.RAW, "test").labels.tolist()
    assert metrics["images"] == len(table) == by_class["support"].sum() == 200
    by_temperature = reliability.groupby("temperature", sort=False)["count"].sum()
    assert by_temperature.index.tolist() == pytest.approx([1, metrics["temperature"]], abs=1e-4)
    assert by_temperature.tolist() == [200, 200]
    assert metrics["errors"] == len(wrong) > 0
    assert metrics["accuracy"] == pytest.approx(1 - len(wrong) / 200)
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert metrics["per_class"]["3"]["recall"] == by_class["recall"][3]
    selection, slices, robustness = (
        pd.read_csv(folder / f"{name}.csv") for name in ("selection", "slices", "robustness")
    )
    assert selection["errors"][0] == metrics["errors"]
    assert slices.groupby("property")["errors"].sum().tolist() == [metrics["errors"]] * 4
    assert metrics["worst_slice"] == pytest.approx(slices["accuracy"].min(), abs=1e-6)
    assert metrics["worst_slice_low"] <= metrics["worst_slice"] < metrics["worst_slice_high"]
    assert robustness["value"].tolist() == [value for _, values in CORRUPTIONS.values() for value in values]
    assert metrics["robustness"]["mean"] == pytest.approx(robustness["accuracy"].mean(), abs=1e-6)
    attack, strange = (pd.read_csv(folder / f"{name}.csv") for name in ("attack", "out_of_distribution"))
    assert attack["strength"].tolist() == [0, *sorted(map(int, metrics["attack"]))]
    assert attack["accuracy"][0] == pytest.approx(metrics["accuracy"])
    assert metrics["attack"]["64"] == pytest.approx(attack["accuracy"].iloc[-1], abs=1e-6)
    assert set(metrics["out_of_distribution"]) == set(strange["kind"])
    assert metrics["out_of_distribution"]["blank"] == pytest.approx(dict(strange.iloc[-1, 1:]), abs=2e-6)
    assert metrics["temperature"] > 0
    assert metrics["loss_scaled"] != metrics["loss"]
    assert workplace.published == [(workplace.params, model)]
    assert set(report(model)) == {
        "metrics.json",
        "predictions.csv",
        "per_class.csv",
        "reliability.csv",
        "confusion.png",
        "reliability.png",
        "mistakes.png",
        "selection.csv",
        "selection.png",
        "slices.csv",
        "slices.png",
        "robustness.csv",
        "robustness.png",
        "attack.csv",
        "attack.png",
        "out_of_distribution.csv",
        "out_of_distribution.png",
    }


def test_a_second_run_gives_the_same_bytes(workplace) -> None:
    evaluate.run(workplace.params, "lenet")
    first = report("lenet")
    evaluate.run(workplace.params, "lenet")
    assert report("lenet") == first


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ({"confidence": 0.5}, {"metrics.json", "slices.csv", "slices.png", "reliability.csv", "reliability.png"}),
        ({"calibration_bins": 60}, {"metrics.json", "reliability.csv", "reliability.png"}),
        ({"mistakes": 2}, {"mistakes.png"}),
    ],
)
def test_every_setting_acts_on_its_reports_alone(workplace, setting: dict[str, float], changes: set[str]) -> None:
    evaluate.run(workplace.params, "mlp")
    before = report("mlp")
    workplace.change("evaluate", **setting)
    evaluate.run(workplace.params, "mlp")
    assert {name for name, content in report("mlp").items() if content != before[name]} == changes


def test_what_the_model_was_trained_on_is_no_stranger_to_it(workplace) -> None:
    evaluate.run(workplace.params, "mlp")
    metrics = paths.report("evaluate", "mlp") / "metrics.json"
    before = read_json(metrics)["out_of_distribution"]
    workplace.change("data", dataset="fashion-mnist")
    evaluate.run(workplace.params, "mlp")
    assert before.pop("fashion_mnist")["images"] == 500
    assert read_json(metrics)["out_of_distribution"] == before


def test_a_device_that_is_not_here_is_named(workplace) -> None:
    absent = "cuda" if torch.backends.mps.is_available() else "mps"
    workplace.change("evaluate", device=absent)
    with pytest.raises(PipelineError, match=rf"^evaluate\.device = {absent}: "):
        evaluate.run(workplace.params, "mlp")


def test_a_label_that_the_model_has_no_class_for_is_named(workplace) -> None:
    labels = read_idx(paths.RAW / TEST_LABELS).copy()
    labels[17] = 10
    (paths.RAW / TEST_LABELS).write_bytes(format_idx(labels))
    with pytest.raises(PipelineError, match=r"t10k-labels-idx1-ubyte: image 17 has label 10, .* labels 0 to 9"):
        evaluate.run(workplace.params, "lenet")
    assert not paths.report("evaluate", "lenet").exists()
    assert not workplace.published


@pytest.mark.parametrize("model", MODELS)
def test_predictions_do_not_depend_on_batch_or_order(
    workplace, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    classifier, _ = load_classifier(paths.weights(model))
    images = load_split(tiny_data, "test").images[:50]
    expected = predict_logits(classifier, images, CPU)
    order = np.random.default_rng(0).permutation(len(images))
    torch.testing.assert_close(predict_logits(classifier, images[order], CPU), expected[order], rtol=0, atol=1e-5)
    for size in (1, 7):
        monkeypatch.setattr(predictions, "BATCH_SIZE", size)
        torch.testing.assert_close(predict_logits(classifier, images, CPU), expected, rtol=0, atol=1e-5)
