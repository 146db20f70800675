"""The compare stage tells of the predictions on disk, and every report agrees with the others."""

import pandas as pd
import pytest

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import file_digest, read_json
from mnist_pipeline.stages import compare

IMAGES = 200
FILES = {"metrics.json", "models.csv", "pairs.csv", "missed_by_all.csv", "missed_by_all.png"}


def predictions(model: str) -> str:
    return str(paths.report("evaluate", model) / "predictions.csv")


def write(model: str, wrong: int, confidence: float = 0.9) -> None:
    """Answers that are right but for the first `wrong` images, each of which is taken for the next label."""
    labels = load_split(paths.RAW, "test").labels.astype(int)
    answers = [(label + (image < wrong)) % 10 for image, label in enumerate(labels)]
    table = pd.DataFrame({"image": range(IMAGES), "label": labels, "predicted": answers, "confidence": confidence})
    paths.report("evaluate", model).mkdir(parents=True, exist_ok=True)
    table.to_csv(predictions(model), index=False)


def reports() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths.COMPARISON.iterdir()}


@pytest.fixture
def evaluated(workplace):
    write("lenet", wrong=5)
    write("mlp", wrong=8)
    return workplace


def test_the_reports_agree_with_each_other(evaluated, capfd: pytest.CaptureFixture[str]) -> None:
    compare.run(evaluated.params)
    assert set(reports()) == FILES
    metrics = read_json(paths.COMPARISON / "metrics.json")
    models, pairs, missed = (
        pd.read_csv(paths.COMPARISON / f"{name}.csv") for name in ("models", "pairs", "missed_by_all")
    )
    assert models["errors"].tolist() == [5, 8]
    assert models["predictions_md5"].tolist() == [
        file_digest(paths.report("evaluate", model) / "predictions.csv", "md5") for model in ("lenet", "mlp")
    ]
    assert metrics["images"] == IMAGES
    assert metrics["missed_by_all"] == len(missed) == 5
    assert metrics["suspected_labels"] == missed["suspected_label"].notna().sum()
    assert sorted(missed["image"]) == [0, 1, 2, 3, 4]
    assert list(metrics["pairs"]) == ["lenet against mlp"]
    told = metrics["pairs"]["lenet against mlp"]
    assert told == pytest.approx(pairs.drop(columns=["model", "other"]).to_dict("records")[0])
    assert (told["won"], told["lost"], told["both_wrong"]) == (3, 0, 5)
    assert told["difference"] == pytest.approx(3 / IMAGES)
    assert told["difference_low"] < told["difference"] < told["difference_high"]
    assert told["p_value"] == 0.25
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith("compare: lenet against mlp: +1.50 points of accuracy, ")
    assert second.startswith("compare: 5 images missed by lenet and mlp, ")
    assert evaluated.published == [(evaluated.params,)]


def test_a_second_run_gives_the_same_bytes(evaluated) -> None:
    compare.run(evaluated.params)
    first = reports()
    compare.run(evaluated.params)
    assert reports() == first


@pytest.mark.parametrize(
    ("section", "setting", "changes"),
    [
        ("evaluate", {"confidence": 0.5}, {"metrics.json", "pairs.csv"}),
        ("compare", {"significance": 0.4}, {"metrics.json", "missed_by_all.csv", "missed_by_all.png"}),
        ("compare", {"mistakes": 2}, {"missed_by_all.png"}),
    ],
)
def test_every_setting_acts_on_its_reports_alone(
    evaluated, section: str, setting: dict[str, float], changes: set[str]
) -> None:
    compare.run(evaluated.params)
    before = reports()
    evaluated.change(section, **setting)
    compare.run(evaluated.params)
    assert {name for name, content in reports().items() if content != before[name]} == changes


def test_a_tiny_p_value_is_not_rounded_to_nothing(evaluated) -> None:
    write("mlp", wrong=60)
    compare.run(evaluated.params)
    metrics = read_json(paths.COMPARISON / "metrics.json")
    assert metrics["pairs"]["lenet against mlp"]["p_value"] == pytest.approx(2 * 0.5**55, rel=1e-3, abs=0)
    assert pd.read_csv(paths.COMPARISON / "pairs.csv")["p_value"][0] == pytest.approx(2 * 0.5**55, rel=1e-3, abs=0)


def test_a_single_model_has_no_pair_but_its_own_mistakes(evaluated) -> None:
    evaluated.params = evaluated.params.model_copy(update={"models": ["mlp"]})
    compare.run(evaluated.params)
    metrics = read_json(paths.COMPARISON / "metrics.json")
    assert metrics["pairs"] == {}
    assert metrics["missed_by_all"] == 8
    assert pd.read_csv(paths.COMPARISON / "pairs.csv").empty


def test_models_that_miss_nothing_together_are_compared(evaluated) -> None:
    write("lenet", wrong=0)
    compare.run(evaluated.params)
    assert read_json(paths.COMPARISON / "metrics.json")["missed_by_all"] == 0
    assert set(reports()) == FILES


def test_labels_are_read_as_names(evaluated) -> None:
    """The label names of a data set may be anything, such as what pandas takes for a missing value."""
    for model in ("lenet", "mlp"):
        table = pd.read_csv(predictions(model)).astype({"label": str, "predicted": str})
        table.replace({"label": {"3": "NA"}, "predicted": {"3": "NA"}}).to_csv(predictions(model), index=False)
    compare.run(evaluated.params)
    assert read_json(paths.COMPARISON / "metrics.json")["missed_by_all"] == 5


def damage(model: str, what: str) -> None:
    path = paths.report("evaluate", model) / "predictions.csv"
    table = pd.read_csv(path)
    if what == "missing":
        path.unlink()
    elif what == "empty":
        path.write_text("")
    elif what == "without confidence":
        table.drop(columns="confidence").to_csv(path, index=False)
    elif what == "bytes":
        path.write_bytes(b"\xff\xfe\x00")
    elif what == "shorter":
        table.head(-1).to_csv(path, index=False)
    elif what == "other labels":
        table.assign(label=0).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("missing", "missing: run dvc repro, or mnist-pipeline evaluate mlp, first"),
        ("empty", "not the table that evaluate writes"),
        ("without confidence", "not the table that evaluate writes"),
        ("bytes", "not the table that evaluate writes"),
        ("shorter", "not of the 200 test images in data/raw"),
        ("other labels", "other labels than in reports/evaluate/lenet/predictions.csv"),
    ],
)
def test_predictions_that_cannot_be_compared_are_named(evaluated, what: str, told: str) -> None:
    damage("mlp", what)
    with pytest.raises(PipelineError, match=rf"^reports/evaluate/mlp/predictions\.csv: {told}"):
        compare.run(evaluated.params)
    assert not paths.COMPARISON.exists()
    assert not evaluated.published
