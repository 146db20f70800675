"""One row for each trained model, whatever happens on the way to it."""

import json
from pathlib import Path

import pytest

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import directory_digest, file_digest
from mnist_pipeline.tracking import publish, runs

MODEL = "lenet"


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
    assert logged["augmentation.rotation"] == "18"  # as params.yaml has it, though the parameter is a float
    assert settings.augmentation.rotation == 18.0
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


def test_without_a_history_there_is_one_line_and_no_half_row(tracked, said) -> None:
    tracked.write_training()
    (paths.report("train", MODEL) / "history.csv").unlink()
    tracked.evaluate()
    (line,) = said()
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


def test_a_row_in_another_s_place_keeps_its_origin(tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "bold")
    tracked.train()
    tracked.evaluate()
    monkeypatch.delenv("DVC_EXP_NAME")
    tracked.change("evaluate", calibration_bins=7)
    tracked.evaluate(accuracy=0.95)
    assert tracked.row().data.tags["dvc.exp_name"] == "bold"
    assert tracked.row().data.tags["source"] == "stage"


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


# ---------------------------------------------------------------- output


def test_nothing_but_what_the_stage_says_is_printed(tracked, data_docs: Path, said) -> None:
    publish.publish_download(tracked.params)
    publish.publish_validation(tracked.params, True, {"box_aspect": 0.5}, data_docs)
    tracked.train()
    tracked.evaluate()
    tracked.compare()
    tracked.export()
    tracked.change("export", latency_repeats=7)
    tracked.export()
    assert said() == []
