"""One run for each trained model, whatever happens on the way to it."""

import json
import math
import os
from pathlib import Path

import pytest

from mnist_pipeline import paths
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.formats import directory_digest, file_digest
from mnist_pipeline.tracking import results
from mnist_pipeline.tracking.publish import publish
from tiny_project import run_git

MODEL = "lenet"


def test_all_stages_fill_one_run(tracked) -> None:
    tracked.train()
    trained = tracked.run()
    tracked.evaluate()
    tracked.export(int8=True)
    tracked.card()

    run, md5 = tracked.run(), file_digest(paths.weights(MODEL), "md5")
    assert run.info.run_name == f"lenet · {md5[:7]}"
    assert (run.info.status, run.info.end_time) == ("FINISHED", trained.info.end_time)
    tags = {"dvc.md5": md5, "data.md5": directory_digest(paths.RAW), "dvc.stage": "train@lenet"}
    tags |= {"source": "stage", "evaluate.confidence": "0.95", "process.id": str(os.getpid())}
    assert tags.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.note.content"] == "It is good."
    assert "export.latency_repeats" not in run.data.tags  # which dvc.lock does not record
    # as params.yaml has it, though the parameter is a float
    params = {"augmentation.rotation": "18", "architecture.pooling": "max", "seed": "42", "dataset": "mnist"}
    assert params.items() <= run.data.params.items()
    assert not [name for name in run.data.params if name.startswith(("evaluate.", "tracking.", "checkpoint_steps"))]
    assert tracked.history(run, "train_loss") == [(1, 2.5), (2, 1.5)]
    curves = {"learning_rate": 0.05, "train_loss": 1.5, "train_accuracy": 0.5, "validation_loss": 1.25}
    results = {"validation_accuracy": 0.75, "parameters": 4, "accuracy": 0.9, "errors": 20}
    exported = {"max_logit_difference": 0.5, "size_bytes": 100, "latency_ms": 0.25, "latency_ratio": 0.25}
    assert run.data.metrics == curves | results | {f"onnx/{name}": value for name, value in exported.items()}
    assert tracked.artifacts(run, "train") == ["history.csv", "weights.safetensors"]
    assert tracked.artifacts(run, "evaluate") == ["figures", "metrics.json", "predictions", "tables"]
    assert tracked.artifacts(run, "evaluate/figures") == ["confusion.png"]
    assert tracked.artifacts(run, "export") == ["details.json", "int8", "latency.json", "metrics.json"]
    assert tracked.artifacts(run, "card") == ["model_card.md"]
    latencies = tracked.store.client.download_artifacts(run.info.run_id, "export/latency.json")
    assert json.loads(Path(latencies).read_text())["latency_ms_batch_256"] == 9
    assert len(run.outputs.model_outputs) == 1


def test_an_error_of_our_own_is_not_taken_for_no_change(tracked, monkeypatch) -> None:
    run_git("init", "--quiet")
    record = {"deps": [{"path": "data/raw", "md5": "cc33.dir"}]}
    paths.LOCK.write_text(json.dumps({"schema": "2.0", "stages": {f"train@{MODEL}": record}}))
    run_git("add", "dvc.lock")
    run_git("-c", "user.name=A", "-c", "user.email=a@example", "commit", "--quiet", "--message", "Trained")
    monkeypatch.setattr(results, "parameters", lambda stages: {}["ours"])
    with pytest.raises(KeyError, match="ours"):
        tracked.train()


def test_a_description_follows_the_card_until_somebody_writes_another(tracked, monkeypatch) -> None:
    tracked.train()
    tracked.card()
    tracked.card("It is better.")
    assert tracked.run().data.tags["mlflow.note.content"] == "It is better."
    monkeypatch.setattr(results, "_changed", lambda *_: {"changed": "epochs 2 → 1"})
    tracked.card("It is better.\n\nIt is small.")
    changed = "It is better.\n\nChanged: `epochs 2 → 1`\n\nIt is small."
    assert tracked.run().data.tags["mlflow.note.content"] == changed
    tracked.store.client.set_tag(tracked.run().info.run_id, "mlflow.note.content", f"{changed} Ours.")
    tracked.card("It is best.")
    assert tracked.run().data.tags["mlflow.note.content"] == f"{changed} Ours."
    assert tracked.run().data.tags["card.md5"] == file_digest(paths.model_card(MODEL), "md5")


@pytest.mark.parametrize("validated", [True, False])
def test_the_data_are_inputs_of_training_and_of_evaluation(tracked, validated: bool) -> None:
    digest = directory_digest(paths.RAW)
    if validated:  # then the verdict has all that is needed, and no image is read
        tracked.validate()
        paths.RAW.rename("elsewhere")
    tracked.train()
    tracked.evaluate()
    inputs = {data.tags[0].value: data.dataset for data in tracked.run().inputs.dataset_inputs}
    shown = {context: (data.name, data.digest) for context, data in inputs.items()}
    assert shown == {"training": ("mnist-train", digest), "evaluation": ("mnist-test", digest)}
    profile = inputs["training"].profile
    assert json.loads(profile)["num_rows"] == 400 if validated else not profile


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (64, 48, 3)])
def test_the_schema_of_the_data_has_the_shape_of_the_images(tracked, shape: tuple[int, ...]) -> None:
    tracked.validate(shape=shape)
    tracked.train()
    (data,) = tracked.run().inputs.dataset_inputs
    features, targets = json.loads(data.dataset.schema)["mlflow_tensorspec"].values()
    tensors = [spec["tensor-spec"] for spec in (*json.loads(features), *json.loads(targets))]
    assert [(tensor["dtype"], tensor["shape"]) for tensor in tensors] == [("uint8", [-1, *shape]), ("int64", [-1])]
    assert json.loads(data.dataset.profile)["num_elements"] == 400 * math.prod(shape)


def test_stages_that_run_again_add_nothing(tracked, warnings) -> None:
    for _ in range(2):
        tracked.train()
        tracked.evaluate()
        tracked.export()
        tracked.compare()
        publish(tracked.params, "download")
    run = tracked.run()
    assert tracked.history(run, "train_loss") == [(1, 2.5), (2, 1.5)]
    assert tracked.history(run, "accuracy") == [(0, 0.9)]
    assert (len(run.outputs.model_outputs), len(run.inputs.dataset_inputs)) == (1, 2)
    assert [len(tracked.runs(kind)) for kind in ("-data", "-comparisons")] == [1, 1]
    assert warnings() == []


def test_other_weights_or_parameters_are_another_run_with_results_of_its_own(tracked) -> None:
    tracked.train(seed=0)
    tracked.train(seed=1)
    tracked.evaluate()
    tracked.change("train", device="cpu")
    tracked.train(seed=1)
    tracked.evaluate(accuracy=0.95)
    found = {(run.data.params["device"], run.data.metrics.get("accuracy")) for run in tracked.runs()}
    assert found == {("auto", None), ("auto", 0.9), ("cpu", 0.95)}


def test_other_settings_of_a_later_stage_change_the_same_run(tracked) -> None:
    tracked.train()
    tracked.evaluate()
    tracked.export()
    before = tracked.run()
    tracked.change("evaluate", calibration_bins=7)
    tracked.evaluate(accuracy=0.95, figure="another")
    run = tracked.run()
    assert (run.info.run_id, run.data.params) == (before.info.run_id, before.data.params)
    assert run.data.tags["evaluate.calibration_bins"] == "7"
    assert run.data.metrics == before.data.metrics | {"accuracy": 0.95}
    assert run.outputs.model_outputs == before.outputs.model_outputs
    figure = tracked.store.client.download_artifacts(run.info.run_id, "evaluate/figures/confusion.png")
    assert Path(figure).read_text() == "another"


@pytest.mark.parametrize("damage", ["", "no table\n\0"])
def test_without_a_history_there_is_one_line_and_no_half_run(tracked, warnings, damage: str) -> None:
    tracked.write_training()
    history = paths.report("train", MODEL) / "history.csv"
    history.write_text(damage) if damage else history.unlink()
    tracked.evaluate()
    (line,) = warnings()
    assert str(history) in line
    assert tracked.runs() == []


@pytest.mark.parametrize(("error", "status"), [(PipelineError("bad label"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_training_that_breaks_off_is_marked(tracked, error: BaseException, status: str) -> None:
    def break_off(epoch: int) -> None:
        if epoch == 2:
            assert (tracked.run().info.status, tracked.run().data.metrics["train_loss"]) == ("RUNNING", 2.5)
            raise error

    with pytest.raises(type(error)):
        tracked.train(before_epoch=break_off)
    assert (tracked.run().info.status, tracked.run().info.run_name) == (status, "lenet · training")
    assert "dvc.md5" not in tracked.run().data.tags


def test_download_and_validation_have_runs_of_their_own(tracked) -> None:
    publish(tracked.params, "download")
    tracked.validate()
    assert tracked.runs() == []
    runs = {run.data.tags["dvc.stage"]: run for run in tracked.runs("-data")}
    digest = directory_digest(paths.RAW)
    assert {run.info.run_name for run in runs.values()} == {f"download · {digest[:7]}", f"validate · {digest[:7]}"}
    assert runs["download"].data.params == {"dataset": "mnist", "source": "auto"}
    assert runs["download"].data.metrics.keys() == {f"bytes/{path.name}" for path in paths.RAW.iterdir()}
    assert runs["validate"].data.params == {"suite": "mnist"}
    assert runs["validate"].data.metrics == {"train/images": 400, "train/blank": 0, "box_aspect": 0.5}
    assert tracked.artifacts(runs["validate"], "validate")


@pytest.mark.parametrize("dataset", ["idx", "folder"])
def test_a_download_of_own_images_has_the_parameters_that_change_them(tracked, dataset: str) -> None:
    names = [f"a class with a long name {number}" for number in range(400)]
    tracked.change("data", dataset=dataset, source="elsewhere", label_names=names)
    for _ in range(2):
        publish(tracked.params, "download")
    (run,) = tracked.runs("-data")
    assert run.data.params.keys() == {
        *("dataset", "label_names", "test.share", "test.seed", "test.groups"),
        *(f"image.{name}" for name in ("preparation", "height", "width", "channels", "fit", "background")),
    }
    assert run.data.params["image.height"] == "32"
    assert run.data.params["label_names"].startswith("['a class with a long name 0', ")


def test_another_outcome_of_validation_is_another_run(tracked) -> None:
    """A failed one has the digest of the present data, and Data Docs."""
    for aspect in (0.5, 0.5, 0.75):
        tracked.validate(box_aspect=aspect)
    (paths.RAW / "t10k-labels-idx1-ubyte").write_bytes(b"damaged")
    tracked.validate(passed=False)
    failed, *passed = sorted(tracked.runs("-data"), key=lambda run: run.info.status != "FAILED")
    assert [run.info.status for run in passed] == ["FINISHED"] * 2
    assert failed.data.tags["data.md5"] == directory_digest(paths.RAW)
    assert tracked.artifacts(failed, "data_docs") == ["index.html"]


def test_the_same_failure_of_other_expectations_is_another_run(tracked) -> None:
    paths.SUITES.mkdir()
    for expected in ("max: 1", "max: 1", "max: 2"):
        (paths.SUITES / "mnist.yaml").write_text(expected)
        tracked.validate(passed=False)
    assert len({run.data.tags["suites.md5"] for run in tracked.runs("-data")}) == len(tracked.runs("-data")) == 2


def test_a_comparison_has_a_run_of_its_own_that_names_those_of_the_models(tracked) -> None:
    tracked.train()
    before = tracked.run()
    tracked.compare()
    (run,) = tracked.runs("-comparisons")
    lenet, mlp = (file_digest(paths.weights(model), "md5")[:7] for model in ("lenet", "mlp"))
    assert (run.data.params["lenet"], run.data.params["mlp"]) == (lenet, mlp)
    assert (run.info.run_name, run.info.status) == (f"compare · {lenet} {mlp}", "FINISHED")
    assert run.data.params["compare.confidence"] == str(tracked.params.evaluate.confidence)
    assert run.data.metrics == {"images": 200, "models": 2, "missed_by_all": 5}
    assert run.data.tags["dvc.md5"] == file_digest(paths.COMPARISON / "metrics.json", "md5")
    assert [data.dataset.name for data in run.inputs.dataset_inputs] == ["mnist-test"]
    assert tracked.artifacts(run, "compare") == ["metrics.json", "tables"]
    assert tracked.run().data.to_dictionary() == before.data.to_dictionary()
