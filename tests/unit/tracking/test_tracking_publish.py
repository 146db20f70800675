"""One row for each trained model, whatever happens on the way to it."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import directory_digest, file_digest
from mnist_pipeline.tracking import publish, rows, runs
from servers import free_port

MODEL = "lenet"
FACTS = {"train": {"images": 400, "blank": np.int64(0)}, "box_aspect": np.float32(0.5), "worst": float("inf")}


@pytest.fixture
def data_docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "index.html").write_text("what was expected")
    return folder


def lines_said(capfd: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capfd.readouterr()
    assert out == ""
    return err.splitlines()


# ---------------------------------------------------------------- one row


def test_train_evaluate_and_export_fill_one_row(tracked) -> None:
    tracked.train()
    trained = tracked.row()
    tracked.evaluate()
    tracked.export()

    row = tracked.row()
    md5 = file_digest(paths.weights(MODEL), "md5")
    assert row.info.run_name == f"lenet-{md5[:7]}"
    assert row.info.status == "FINISHED"
    assert row.info.end_time == trained.info.end_time
    assert row.data.tags["dvc.md5"] == md5
    assert row.data.tags["data.md5"] == directory_digest(paths.RAW)
    assert row.data.tags["dvc.stage"] == "train@lenet"
    assert row.data.tags["source"] == "stage"
    assert tracked.history(row, "train/loss") == [(1, 2.5), (2, 1.5)]
    assert tracked.history(row, "val/accuracy") == [(1, 0.5), (2, 0.75)]
    assert tracked.history(row, "train/learning_rate") == [(1, 0.1), (2, 0.05)]
    assert row.data.metrics["train/parameters"] == 4
    assert row.data.metrics["test/accuracy"] == 0.9
    assert row.data.metrics["robustness/mean"] == 0.75
    assert row.data.metrics["robustness/attack_16"] == 0.5
    assert row.data.metrics["ood/fashion_mnist/auroc"] == 0.875
    assert not [name for name in row.data.metrics if "per_class" in name]
    assert row.data.metrics["onnx/max_logit_difference"] == 0.5
    assert row.data.metrics["onnx/latency_ms/batch_1/onnxruntime"] == 0.25


def test_parameters_are_the_leaf_keys_of_the_sections(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    logged = tracked.row().data.params
    settings = tracked.params.training(MODEL)
    assert logged["learning_rate"] == str(settings.learning_rate)
    assert logged["augmentation.rotation"] == "12"  # as params.yaml has it, though the parameter is a float
    assert settings.augmentation.rotation == 12.0
    assert logged["architecture.pooling"] == "max"
    assert logged["seed"] == str(tracked.params.train.seed)
    assert logged["dataset"] == "mnist"
    assert logged["evaluate.confidence"] == str(tracked.params.evaluate.confidence)
    assert logged["export.latency_repeats"] == str(tracked.params.export.latency_repeats)


def test_pictures_tables_and_weights_are_artifacts(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    assert tracked.artifacts(tracked.row(), "train") == ["train/history.csv", "train/weights.safetensors"]
    assert tracked.artifacts(tracked.row(), "evaluate") == ["evaluate/confusion.png", "evaluate/metrics.json"]


def test_the_data_are_inputs_of_training_and_of_evaluation(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    inputs = {data.tags[0].value: data.dataset for data in tracked.row().inputs.dataset_inputs}
    assert {context: data.name for context, data in inputs.items()} == {
        "training": "mnist-train",
        "evaluation": "mnist-test",
    }
    assert {data.digest for data in inputs.values()} == {directory_digest(paths.RAW)}
    assert json.loads(inputs["training"].profile)["num_rows"] == 400
    assert json.loads(inputs["evaluation"].source) == {"uri": "data/raw"}


def test_forced_stages_add_nothing(tracked) -> None:
    for _ in range(3):
        tracked.train()
        tracked.evaluate()
        tracked.export()
    row = tracked.row()
    assert tracked.history(row, "train/loss") == [(1, 2.5), (2, 1.5)]
    assert tracked.history(row, "test/accuracy") == [(0, 0.9)]
    assert len(row.outputs.model_outputs) == 1
    assert len(row.inputs.dataset_inputs) == 2


def test_the_earlier_row_of_the_same_model_stays(tracked) -> None:
    tracked.train()
    earlier = tracked.row().info.run_id
    tracked.train()
    assert tracked.row().info.run_id == earlier


def test_other_weights_are_another_row(tracked) -> None:
    tracked.train(seed=0)
    tracked.train(seed=1)
    assert len(tracked.rows()) == 2


def test_the_same_weights_from_other_settings_are_another_row_and_get_their_own_results(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.change("train", device="cpu")
    tracked.train()
    tracked.evaluate(accuracy=0.95)
    accuracies = {row.data.params["device"]: row.data.metrics["test/accuracy"] for row in tracked.rows()}
    assert accuracies == {"auto": 0.9, "cpu": 0.95}


# ---------------------------------------------------------------- rows from files


def test_without_a_row_evaluation_writes_it_from_the_files(tracked) -> None:
    tracked.write_training()
    tracked.evaluate()
    tracked.export()
    row = tracked.row()
    assert row.data.tags["source"] == "sync"
    assert row.info.status == "FINISHED"
    assert tracked.history(row, "val/loss") == [(1, 2.25), (2, 1.25)]
    assert {"test/accuracy", "onnx/max_logit_difference"} <= row.data.metrics.keys()


def test_without_a_row_export_writes_it_from_the_files(tracked) -> None:
    tracked.write_training()
    tracked.export()
    assert len(tracked.row().outputs.model_outputs) == 1
    assert tracked.history(tracked.row(), "train/accuracy") == [(1, 0.25), (2, 0.5)]


def test_a_row_from_files_equals_a_live_one_but_for_its_source(tracked) -> None:
    def content() -> tuple[object, ...]:
        row = tracked.row()
        curves = {name: tracked.history(row, name) for name in row.data.metrics}
        files = {folder: tracked.artifacts(row, folder) for folder in ("train", "evaluate")}
        tags = {name: value for name, value in row.data.tags.items() if name != "source"}
        inputs = [(data.dataset, data.tags) for data in row.inputs.dataset_inputs]
        return row.info.run_name, row.info.status, row.data.params, curves, files, tags, inputs

    tracked.train()
    tracked.evaluate()
    live = content()
    runs.delete_run(tracked.store.client, tracked.row().info.run_id)
    tracked.evaluate()
    assert content() == live


def test_without_a_history_there_is_one_line_and_no_half_row(tracked, capfd) -> None:
    tracked.write_training()
    (paths.report("train", MODEL) / "history.csv").unlink()
    tracked.evaluate()
    (line,) = lines_said(capfd)
    assert "reports/train/lenet/history.csv" in line
    assert tracked.rows() == []


# ---------------------------------------------------------------- the network in INT8


def test_int8_is_among_the_artifacts_and_its_numbers_among_the_metrics(tracked) -> None:
    tracked.train()
    tracked.export_with_int8(offered=True)
    row = tracked.row()
    shown = {name: value for name, value in row.data.metrics.items() if name.startswith("onnx/int8/")}
    assert shown == {
        "onnx/int8/offered": 1,
        "onnx/int8/accuracy": 0.75,
        "onnx/int8/latency_ratio/batch_1": 0.5,
    }
    assert tracked.artifacts(row, "export/int8") == ["export/int8/model.onnx"]


def test_int8_stays_when_the_row_is_made_anew(tracked) -> None:
    tracked.train()
    tracked.export_with_int8(offered=True)
    tracked.evaluate()
    tracked.change("evaluate", mistakes=7)
    tracked.evaluate()
    row = tracked.row()
    assert tracked.artifacts(row, "export/int8") == ["export/int8/model.onnx"]
    assert row.data.metrics["onnx/int8/latency_ratio/batch_1"] == 0.5


def test_int8_that_is_not_offered_is_no_artifact(tracked) -> None:
    tracked.train()
    tracked.export_with_int8(offered=False)
    assert tracked.row().data.metrics["onnx/int8/offered"] == 0
    assert tracked.artifacts(tracked.row(), "export") == []


def test_the_newest_card_is_among_the_artifacts_of_the_model_s_row(tracked) -> None:
    tracked.train()
    for text in ("# A card", "# Another card"):
        tracked.card(text)
        assert tracked.artifacts(tracked.row(), "card") == ["card/model_card.md"]
        path = tracked.store.client.download_artifacts(tracked.row().info.run_id, "card/model_card.md")
        assert Path(path).read_text() == text


def test_the_card_stays_when_the_row_is_made_anew(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.card()
    tracked.change("evaluate", mistakes=7)
    tracked.evaluate()
    assert tracked.artifacts(tracked.row(), "card") == ["card/model_card.md"]


# ---------------------------------------------------------------- other settings of evaluation and export


def test_evaluation_with_other_settings_makes_a_new_row_that_keeps_the_export(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    before = tracked.row()
    tracked.change("evaluate", calibration_bins=7)
    tracked.evaluate(accuracy=0.95)

    row = tracked.row()
    assert row.info.run_id != before.info.run_id
    assert row.data.params == before.data.params | {"evaluate.calibration_bins": "7"}
    assert row.data.metrics == before.data.metrics | {"test/accuracy": 0.95}
    assert tracked.history(row, "train/loss") == [(1, 2.5), (2, 1.5)]
    assert row.outputs.model_outputs == before.outputs.model_outputs
    assert [model.model_id for model in tracked.store.client.search_logged_models([tracked.store.models])] == [
        before.outputs.model_outputs[0].model_id
    ]
    tracked.export()
    assert tracked.row().outputs.model_outputs == before.outputs.model_outputs


def test_export_with_other_settings_makes_a_new_row_that_keeps_the_evaluation(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    before = tracked.row()
    tracked.change("export", latency_repeats=7)
    (paths.report("evaluate", MODEL) / "confusion.png").write_text("of other weights")
    tracked.export()

    row = tracked.row()
    assert row.data.params == before.data.params | {"export.latency_repeats": "7"}
    assert row.data.metrics == before.data.metrics
    assert len(row.inputs.dataset_inputs) == 2
    (model,) = tracked.store.client.search_logged_models([tracked.store.models])
    assert [output.model_id for output in row.outputs.model_outputs] == [model.model_id]
    picture = Path(tracked.store.client.download_artifacts(row.info.run_id, "evaluate/confusion.png"))
    assert picture.read_text() == "a picture"


# ---------------------------------------------------------------- trainings that do not end


def break_off(tracked, error: BaseException) -> None:
    with publish.training_run(tracked.params, MODEL) as row:
        row.log_epoch(1, {"train_loss": 2.5})
        raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("diverged"), "FAILED"), (PipelineError("bad label"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
def test_a_training_that_breaks_off_says_how(tracked, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)):
        break_off(tracked, error)
    assert tracked.row().info.status == status
    assert tracked.row().info.run_name == MODEL
    assert "dvc.md5" not in tracked.row().data.tags


def test_a_row_is_there_while_the_model_trains(tracked) -> None:
    with publish.training_run(tracked.params, MODEL) as row:
        row.log_epoch(1, {"train_loss": 2.5})
        assert tracked.row().info.status == "RUNNING"
        assert tracked.row().data.metrics == {"train/loss": 2.5}
        tracked.write_training()
        row.finish()


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


def test_a_comparison_without_the_weights_costs_its_row_and_one_line(tracked, capfd) -> None:
    tracked.compare()
    (line,) = lines_said(capfd)
    assert line.startswith("warning: MLflow did not take the row")
    assert str(paths.weights(MODEL)) in line
    assert tracked.comparisons() == []


# ---------------------------------------------------------------- failures of the store


@pytest.fixture
def dead_server(tracked, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


def test_a_dead_server_costs_seconds_and_one_line(tracked, dead_server: str, capfd) -> None:
    start = time.monotonic()
    tracked.train()
    assert time.monotonic() - start < 15
    (line,) = lines_said(capfd)
    assert line.startswith("warning: MLflow did not take the row")
    assert dead_server in line
    assert paths.weights(MODEL).exists()


def test_a_server_that_dies_half_way_is_told_once(tracked, capfd) -> None:
    tracked.train_without_a_store_from_the_second_epoch_on()
    assert len(lines_said(capfd)) == 1
    assert tracked.history(tracked.row(), "train/loss") == [(1, 2.5)]
    assert "dvc.md5" not in tracked.row().data.tags


def test_a_driver_s_own_error_costs_one_line_without_its_password(
    tracked, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no route to s3://key:secret@store")

    monkeypatch.setattr(runs, "log_metrics", fail)
    tracked.train()
    (line,) = lines_said(capfd)
    assert "no route to s3://…@store" in line
    assert paths.weights(MODEL).exists()


def test_a_row_in_another_s_place_keeps_its_origin(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "bold")
    tracked.train()
    tracked.evaluate()
    monkeypatch.delenv("DVC_EXP_NAME")
    tracked.change("evaluate", calibration_bins=7)
    tracked.evaluate(accuracy=0.95)
    assert tracked.row().data.tags["dvc.exp_name"] == "bold"
    assert tracked.row().data.tags["source"] == "stage"


def test_a_replacement_that_breaks_off_leaves_the_old_row_alone(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    before = tracked.row()
    monkeypatch.setattr(rows, "_carry_over", lambda *_: (_ for _ in ()).throw(MlflowException("reset")))
    tracked.change("evaluate", calibration_bins=7)
    tracked.evaluate(accuracy=0.95)
    assert tracked.row().info.run_id == before.info.run_id


def test_a_database_whose_driver_is_missing_costs_one_line(tracked, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+asyncpg://nobody@127.0.0.1:1/rows")
    tracked.train()
    (line,) = lines_said(capfd)
    assert "asyncpg" in line


def test_a_damaged_database_costs_one_line(tracked, capfd) -> None:
    Path("mlruns/mlflow.db").write_bytes(bytes(range(256)) * 32)
    tracked.train()
    (line,) = lines_said(capfd)
    assert "file is not a database" in line


def test_the_project_s_own_errors_are_not_taken_for_the_store_s(tracked) -> None:
    tracked.train()
    with pytest.raises(FileNotFoundError):
        publish.publish_evaluation(tracked.params, MODEL)


def test_nothing_but_what_the_stage_says_is_printed(tracked, data_docs: Path, capfd) -> None:
    publish.publish_download(tracked.params)
    publish.publish_validation(tracked.params, True, FACTS, data_docs)
    tracked.train()
    tracked.evaluate()
    tracked.compare()
    tracked.export()
    tracked.change("export", latency_repeats=7)
    tracked.export()
    assert lines_said(capfd) == []
