"""The rows of data and of comparisons, which stand apart from those of models."""

from pathlib import Path

import numpy as np
import pytest

from mnist_pipeline import paths
from mnist_pipeline.files import directory_digest, file_digest
from mnist_pipeline.tracking import publish

MODEL = "lenet"
FACTS = {"train": {"images": 400, "blank": np.int64(0)}, "box_aspect": np.float32(0.5), "worst": float("inf")}


# ---------------------------------------------------------------- data


def test_download_and_validation_have_rows_of_their_own(tracked, data_docs: Path) -> None:
    publish.publish_download(tracked.params)
    publish.publish_validation(tracked.params, True, FACTS, data_docs)
    assert tracked.rows() == []
    rows = {row.data.tags["dvc.stage"]: row for row in tracked.data_rows()}
    digest = directory_digest(paths.RAW)
    assert {row.info.run_name for row in rows.values()} == {f"download-{digest[:7]}", f"validate-{digest[:7]}"}
    assert rows["download"].data.params["dataset"] == "mnist"
    assert rows["validate"].data.params["suite"] == "mnist"
    assert rows["validate"].data.metrics == {"train/images": 400, "train/blank": 0, "box_aspect": 0.5}
    assert {row.info.status for row in rows.values()} == {"FINISHED"}


def test_refused_data_leave_a_failed_row_with_data_docs(tracked, data_docs: Path) -> None:
    publish.publish_validation(tracked.params, False, FACTS, data_docs)
    (row,) = tracked.data_rows()
    assert row.info.status == "FAILED"
    assert tracked.artifacts(row, "data_docs") == ["data_docs/index.html"]


def test_the_same_judgement_of_the_same_data_is_told_once(tracked, data_docs: Path) -> None:
    for _ in range(2):
        publish.publish_download(tracked.params)
        publish.publish_validation(tracked.params, True, FACTS, data_docs)
    assert len(tracked.data_rows()) == 2


@pytest.mark.parametrize("passed", [True, False])
def test_another_judgement_of_the_same_data_is_another_row(tracked, data_docs: Path, passed: bool) -> None:
    publish.publish_validation(tracked.params, True, FACTS, data_docs)
    publish.publish_validation(tracked.params, passed, {**FACTS, "box_aspect": 0.75 if passed else 0.5}, data_docs)
    assert len(tracked.data_rows()) == 2


# ---------------------------------------------------------------- comparisons


def test_a_comparison_has_a_row_of_its_own_that_names_those_of_the_models(tracked) -> None:
    tracked.train()
    before = tracked.row()
    tracked.compare()
    (row,) = tracked.comparisons()
    other = f"mlp-{file_digest(paths.weights('mlp'), 'md5')[:7]}"
    assert row.data.params["lenet"] == before.info.run_name
    assert row.data.params["mlp"] == other
    assert row.info.run_name == f"{before.info.run_name} {other}"
    assert row.info.status == "FINISHED"
    assert row.data.params["compare.confidence"] == str(tracked.params.evaluate.confidence)
    assert row.data.params["compare.significance"] == str(tracked.params.compare.significance)
    assert row.data.metrics == {
        "images": 200,
        "missed_by_all": 5,
        "lenet against mlp/difference": 0.25,
        "lenet against mlp/won": 3,
    }
    assert row.data.tags["dvc.stage"] == "compare"
    assert row.data.tags["dvc.md5"] == file_digest(paths.COMPARISON / "metrics.json", "md5")
    assert row.data.tags["data.md5"] == directory_digest(paths.RAW)
    assert row.data.tags["source"] == "stage"
    assert [data.dataset.name for data in row.inputs.dataset_inputs] == ["mnist-test"]
    assert tracked.artifacts(row, "compare") == ["compare/metrics.json", "compare/pairs.csv"]
    assert tracked.row().data.to_dictionary() == before.data.to_dictionary()
    assert tracked.data_rows() == []


def test_the_same_comparison_is_told_once(tracked) -> None:
    tracked.train()
    for _ in range(2):
        tracked.compare()
    assert len(tracked.comparisons()) == 1


def test_another_comparison_is_another_row_and_the_first_stays_as_it_was(tracked) -> None:
    tracked.train()
    tracked.compare()
    tracked.compare(seed=1)
    tracked.compare(seed=1, difference=0.5)
    tracked.change("compare", significance=0.5)
    tracked.compare(seed=1, difference=0.5)
    rows = tracked.comparisons()
    assert [row.data.metrics["lenet against mlp/difference"] for row in reversed(rows)] == [0.25, 0.25, 0.5, 0.5]
    assert len({row.data.params["mlp"] for row in rows}) == 2


def test_a_comparison_without_the_weights_costs_its_row_and_one_line(tracked, said) -> None:
    tracked.compare()
    (line,) = said()
    assert line.startswith("warning: MLflow did not take the row")
    assert str(paths.weights(MODEL)) in line
    assert tracked.comparisons() == []
