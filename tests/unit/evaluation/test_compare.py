"""The compare stage reads the predictions on disk, and every report agrees with the others."""

import numpy as np
import pandas as pd
import pytest

from mnist_pipeline import paths
from mnist_pipeline.data.dataset import load_split
from mnist_pipeline.data.idx import TEST_IMAGES, format_idx, read_idx
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import read_json
from mnist_pipeline.formats import file_digest
from mnist_pipeline.stages import compare

IMAGES = 200
TABLES = ("models", "pairs", "missed_by_all")


def write(model: str, wrong: int) -> None:
    """Predictions that are right but for the first `wrong` images, each of which is taken for the next label."""
    labels = load_split(paths.RAW, "test").labels.astype(int)
    predicted = [(label + (image < wrong)) % 10 for image, label in enumerate(labels)]
    table = pd.DataFrame({"image": range(IMAGES), "label": labels, "predicted": predicted, "confidence": 0.9})
    paths.PREDICTIONS.mkdir(parents=True, exist_ok=True)
    table.to_csv(paths.PREDICTIONS / f"{model}.csv", index=False)


def reports() -> dict[str, bytes]:
    files = [path for path in paths.COMPARISON.rglob("*") if path.is_file()]
    return {path.relative_to(paths.COMPARISON).as_posix(): path.read_bytes() for path in files}


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(paths.COMPARISON / f"tables/{name}.csv")


@pytest.fixture
def evaluated(workplace):
    write("lenet", wrong=5)
    write("mlp", wrong=8)
    return workplace


def test_the_reports_agree_with_each_other(evaluated) -> None:
    (paths.COMPARISON / "figures").mkdir(parents=True)
    (paths.COMPARISON / "figures/of an earlier run").touch()
    compare.run(evaluated.params)
    first = reports()
    assert set(first) == {"metrics.json", "figures/missed_by_all.png", *(f"tables/{name}.csv" for name in TABLES)}
    models, pairs, missed = map(table, TABLES)
    assert models["errors"].tolist() == [5, 8]
    assert models["predictions_md5"][1] == file_digest(paths.PREDICTIONS / "mlp.csv", "md5")
    suspected = missed["suspected_label"].notna().sum()
    expected = {"images": IMAGES, "models": 2, "missed_by_all": 5, "suspected_labels": suspected}
    assert read_json(paths.COMPARISON / "metrics.json") == expected
    assert sorted(missed["image"]) == [0, 1, 2, 3, 4]
    (pair,) = pairs.to_dict("records")
    expected = {"model": "lenet", "other": "mlp", "won": 3, "lost": 0, "both_wrong": 5, "p_value": 0.25}
    assert {name: pair[name] for name in expected} == expected
    assert pair["difference_low"] < pair["difference"] < pair["difference_high"]
    assert evaluated.published == [("compare", None, {})]
    compare.run(evaluated.params)
    assert reports() == first


def test_colour_images_are_compared_and_shown(evaluated) -> None:
    compare.run(evaluated.params)
    grey = reports()
    file = paths.RAW / TEST_IMAGES
    images = np.repeat(read_idx(file)[..., None], 3, axis=3)
    images[..., 0] = 255
    file.unlink()
    (paths.RAW / "t10k-images-idx4-ubyte").write_bytes(format_idx(images))
    compare.run(evaluated.params)
    assert {name for name, content in reports().items() if content != grey[name]} == {"figures/missed_by_all.png"}


def test_every_setting_acts_on_its_reports_alone(evaluated) -> None:
    compare.run(evaluated.params)
    for section, setting, expected in (
        ("evaluate", {"confidence": 0.5}, {"tables/pairs.csv"}),
        ("compare", {"mistakes": 2}, {"figures/missed_by_all.png"}),
        ("compare", {"significance": 0.4}, {"metrics.json", "tables/missed_by_all.csv", "figures/missed_by_all.png"}),
    ):
        before = reports()
        evaluated.change(section, **setting)
        compare.run(evaluated.params)
        assert {name for name, content in reports().items() if content != before[name]} == expected, setting


def test_of_a_single_model_all_mistakes_are_shown_and_predictions_of_no_model_are_named(evaluated) -> None:
    evaluated.params = evaluated.params.model_copy(update={"models": ["mlp"]})
    with pytest.raises(PipelineError, match=r"^reports/evaluate/predictions/lenet\.csv: .*delete it$"):
        compare.run(evaluated.params)
    (paths.PREDICTIONS / "lenet.csv").unlink()
    compare.run(evaluated.params)
    assert read_json(paths.COMPARISON / "metrics.json")["missed_by_all"] == 8
    assert table("pairs").empty


def test_labels_are_names_even_such_that_pandas_takes_for_missing_and_a_tiny_p_value_is_kept(evaluated) -> None:
    write("mlp", wrong=60)
    for model in ("lenet", "mlp"):
        path = paths.PREDICTIONS / f"{model}.csv"
        named = pd.read_csv(path).astype({"label": str, "predicted": str})
        named.replace({"label": {"3": "NA"}, "predicted": {"3": "NA"}}).to_csv(path, index=False)
    compare.run(evaluated.params)
    assert read_json(paths.COMPARISON / "metrics.json")["missed_by_all"] == 5
    assert table("pairs")["p_value"][0] == pytest.approx(2 * 0.5**55, rel=1e-3, abs=0)


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "without confidence": lambda path: pd.read_csv(path).drop(columns="confidence").to_csv(path, index=False),
    "shorter": lambda path: pd.read_csv(path).head(-1).to_csv(path, index=False),
    "other labels": lambda path: pd.read_csv(path).assign(label=0).to_csv(path, index=False),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_predictions_that_cannot_be_compared_are_named(evaluated, damage: str) -> None:
    DAMAGES[damage](paths.PREDICTIONS / "mlp.csv")
    with pytest.raises(PipelineError, match=r"^reports/evaluate/predictions/mlp\.csv: .*run "):
        compare.run(evaluated.params)
    assert not paths.COMPARISON.exists()
    assert not evaluated.published
