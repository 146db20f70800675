"""`sync` writes what MLflow lacks from dvc.lock and DVC's cache, of this release's commits and of earlier ones."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline import paths
from mnist_pipeline.commands import sync
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.formats import directory_digest, file_digest
from mnist_pipeline.tracking.publish import publish
from mnist_pipeline.tracking.results import CURVES
from tiny_project import run_git
from tracked_content import forget

MODEL = "lenet"
CACHE = Path(".dvc/cache/files/md5")


def cached(path: Path) -> str:
    """Puts a file or a folder, below which are files or folders of files, into DVC's cache; returns its MD5."""
    if path.is_file():
        md5 = file_digest(path, "md5")
        content = path.read_bytes()
    else:
        files = sorted(file for file in path.rglob("*") if file.is_file())
        entries = [{"md5": cached(file), "relpath": str(file.relative_to(path))} for file in files]
        md5 = directory_digest(path)
        content = json.dumps(entries, sort_keys=True).encode()
    target = CACHE / md5[:2] / md5[2:]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return md5


def record(stages: Mapping[str, tuple[Mapping[str, Any], Iterable[str], Iterable[str]]]) -> None:
    """Writes dvc.lock as DVC does: the parameters, dependencies and outputs of each stage."""
    content = {
        name: {
            "params": {"params.yaml": dict(values)},
            "deps": [{"path": path, "md5": cached(Path(path))} for path in deps],
            "outs": [{"path": path, "md5": cached(Path(path))} for path in outs],
        }
        for name, (values, deps, outs) in stages.items()
    }
    paths.LOCK.write_text(yaml.safe_dump({"schema": "2.0", "stages": content}))


def start_repository() -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path(".dvc").mkdir()
    Path(".dvc/config").touch()


@pytest.fixture
def repository(tracked):
    """A repository whose stages have run and been recorded; its store shows them."""
    start_repository()
    paths.SUITES.mkdir()
    (paths.SUITES / "mnist.yaml").write_text("classes: 10")
    publish(tracked.params, "download")
    tracked.validate()
    tracked.train()
    tracked.evaluate()
    tracked.export(int8=True)
    tracked.card()
    record_stages(tracked)
    return tracked


def record_stages(tracked) -> None:
    values = tracked.params.model_dump(by_alias=True)
    weights, verdict, raw = str(paths.weights(MODEL)), str(paths.VERDICT), "data/raw"
    shared = {f"train.{key}": values["train"][key] for key in ("seed", "device", "validation_share", MODEL)}
    exported = {f"export.{key}": value for key, value in values["export"].items() if key != "latency_repeats"}
    trained = [weights, *reports("train", "history.csv", "metrics.json")]
    predictions = f"reports/evaluate/predictions/{MODEL}.csv"
    evaluated = [*reports("evaluate", "metrics.json", "figures", "tables"), predictions]
    networks = [f"models/{MODEL}/model.onnx", f"models/{MODEL}/int8"]
    facts = ["reports/validate/facts.json", "reports/validate/class_counts.csv", verdict]
    record(
        {
            "download": ({"data": values["data"]}, [], [raw]),
            "validate": ({"data.dataset": "mnist", "validate": values["validate"]}, [raw, "suites"], facts),
            f"train@{MODEL}": (shared, [raw, verdict], trained),
            f"evaluate@{MODEL}": ({"evaluate": values["evaluate"], "train.seed": 42}, [raw, weights], evaluated),
            f"export@{MODEL}": (
                exported,
                [raw, weights],
                networks + reports("export", "details.json", "metrics.json"),
            ),
            f"card@{MODEL}": ({"card": values["card"]}, [weights], [str(paths.model_card(MODEL))]),
        }
    )


def reports(stage: str, *names: str) -> list[str]:
    return [f"reports/{stage}/{MODEL}/{name}" for name in names]


def run_sync(tracked, **options: Any) -> None:
    given = {"names": [], "all_commits": False, "experiments": False, "pull": False, "if_changed": False}
    sync.run(tracked.params, **(given | options))


def counts(printed: list[str]) -> list[int]:
    """How many runs were written, were complete, and were left out."""
    return [int(word) for word in printed[-1].split() if word.isdigit()]


def change_lock(stage: str, **changed: Any) -> None:
    content = yaml.safe_load(paths.LOCK.read_text())
    content["stages"][stage] |= changed
    paths.LOCK.write_text(yaml.safe_dump(content))


def test_a_run_gets_what_it_lacks_and_shows_the_newest_evaluation(repository, warnings) -> None:
    forget(repository.path)
    paths.report("evaluate", MODEL).joinpath("metrics.json").write_text('{"accuracy": 0.5, "errors": 100}')
    record_stages(repository)
    content = paths.LOCK.read_text()
    for stage in ("evaluate", "export", "card"):
        change_lock(f"{stage}@{MODEL}", deps=[])  # of other weights
    run_sync(repository)
    assert "accuracy" not in repository.run().data.metrics
    repository.evaluate(accuracy=0.9)
    paths.LOCK.write_text(content)
    run_sync(repository)
    assert counts(warnings()) == [1, 2, 0]
    assert repository.run().data.metrics["accuracy"] == 0.5
    assert len(repository.run().outputs.model_outputs) == 1


def test_nothing_is_opened_where_nothing_changed(repository, warnings, monkeypatch) -> None:
    run_sync(repository, if_changed=True)
    assert counts(warnings()) == [0, 3, 0]
    monkeypatch.setattr("mnist_pipeline.tracking.sync.sync", None)
    run_sync(repository, if_changed=True)
    assert warnings() == []
    with pytest.raises(TypeError):
        run_sync(repository)


def test_the_download_of_own_images_is_shown_as_it_was_recorded(tracked) -> None:
    """With the parameters of images and test set; an earlier release, which had none, shows none."""
    start_repository()
    tracked.change("data", dataset="folder", label_names=["a", "b"])
    publish(tracked.params, "download")
    values = tracked.params.model_dump(by_alias=True)["data"]
    shown = [run.data.params for run in tracked.runs("-data")]
    for recorded in (["dataset", "source", "label_names", "image", "test"], ["dataset", "source"]):
        forget(Path())
        record({"download": ({f"data.{name}": values[name] for name in recorded}, [], ["data/raw"])})
        run_sync(tracked)
        shown += [run.data.params for run in tracked.runs("-data")]
    live, synced, earlier = shown
    assert live == synced
    assert live["test.groups"] == "none"
    assert earlier == {"dataset": "folder"}


def test_the_validation_of_own_images_names_the_suite_that_they_were_checked_against(tracked, warnings) -> None:
    start_repository()
    paths.SUITES.mkdir()
    (paths.SUITES / "any.yaml").write_text("classes: 10")
    tracked.change("data", dataset="folder")
    tracked.validate(suite="any")
    facts = [f"reports/validate/{name}" for name in ("facts.json", "class_counts.csv", "verdict.json")]
    record({"validate": ({"data.dataset": "folder", "validate.suite": "auto"}, ["data/raw", "suites"], facts)})
    run_sync(tracked)
    assert counts(warnings()) == [0, 1, 0]
    (run,) = tracked.runs("-data")
    assert run.data.params == {"suite": "any"}


@pytest.mark.parametrize("missing", ["params", "outs", "deps"])
def test_what_another_release_did_not_record_is_named(repository, missing: str, warnings) -> None:
    forget(Path())
    change_lock(f"train@{MODEL}", **{missing: {} if missing == "params" else []})
    run_sync(repository)
    printed = warnings()
    assert counts(printed) == [2, 0, 1]
    assert any(f"train@{MODEL}" in line and "dvc.lock does not record" in line for line in printed)


def test_files_that_are_not_in_the_cache_are_named(repository, warnings) -> None:
    forget(Path())
    shutil.rmtree(CACHE)
    run_sync(repository)
    printed = warnings()
    assert counts(printed) == [0, 0, 2]  # the run of the download only waits for the images
    assert any("models/lenet/weights.safetensors" in line and line.endswith("more") for line in printed)
    assert not paths.SYNCED.exists()


def test_an_unreachable_server_is_an_error_or_at_the_end_of_make_repro_a_warning(
    repository, monkeypatch, warnings
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(PipelineError, match="127"):
        run_sync(repository)
    run_sync(repository, if_changed=True)
    assert [line.startswith("warning: ") for line in warnings()] == [True]


# ---------------------------------------------------------------- commits of earlier releases


@pytest.fixture
def old_repository(tracked):
    """What the releases with nested reports wrote and recorded, small."""
    start_repository()
    values = tracked.params.model_dump(by_alias=True)
    tracked.write_training()
    tracked.write_training(1, "mlp")
    tracked.write_network()
    evaluation = {
        "accuracy": 0.75,
        "errors": 5,
        "expected_calibration_error": 0.125,
        "per_class": {"0": {"recall": 0.5}},
        "robustness": {"mean": 0.5, "worst": 0.25},
        "attack": {"16": 0.375},
        "out_of_distribution": {"blank": {"auroc": 0.5}, "noise": {"auroc": 1.0}},
    }
    written = {
        "validate/metrics.json": {"passed": True, "facts": {"train": {"images": 60, "count": {"0": 6}}}},
        f"evaluate/{MODEL}/metrics.json": evaluation,
        f"evaluate/{MODEL}/predictions.csv": "predictions",
        f"evaluate/{MODEL}/confusion.png": "a picture",
        "evaluate/mlp/predictions.csv": "others",
        f"export/{MODEL}/metrics.json": {"opset": 18, "size_bytes": 7, "int8": {"size_ratio": 0.5}},
        "compare/metrics.json": {"images": 20, "missed_by_all": 1, "pairs": {"lenet against mlp": {"won": 3}}},
    }
    for name, content in written.items():
        path = Path("reports") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    predictions = {model: f"reports/evaluate/{model}/predictions.csv" for model in (MODEL, "mlp")}
    table = [f"{model},{file_digest(Path(path), 'md5')}" for model, path in predictions.items()]
    Path("reports/compare/models.csv").write_text("\n".join(["model,predictions_md5", *table]))
    own = {name: value for name, value in values["train"][MODEL].items() if name != "warmup"} | {"warmup_epochs": 1}
    shared = {"train.seed": 42, "train.device": "auto", "train.validation_size": 5, "data.dataset": "mnist"}
    suites = {"data.dataset": "mnist", "validate": {"suite": "auto", "suites": {"mnist": {"classes": 10}}}}
    settings = {stage: {stage: values[stage]} for stage in ("data", "evaluate", "export", "compare")}
    raw, weights, others = "data/raw", str(paths.weights(MODEL)), str(paths.weights("mlp"))
    evaluated = reports("evaluate", "metrics.json", "predictions.csv", "confusion.png")
    exported, compared = [str(paths.onnx(MODEL)), *reports("export", "metrics.json")], ["metrics.json", "models.csv"]
    record(
        {
            "download": (settings["data"], [], [raw]),
            "validate": (suites, [raw], ["reports/validate/metrics.json"]),
            f"train@{MODEL}": (
                shared | {f"train.{MODEL}": own},
                [raw],
                [weights, *reports("train", "history.csv", "metrics.json")],
            ),
            f"evaluate@{MODEL}": (settings["evaluate"], [raw, weights], evaluated),
            "evaluate@mlp": (settings["evaluate"], [raw, others], [predictions["mlp"]]),
            f"export@{MODEL}": (settings["export"], [raw, weights], exported),
            "compare": (
                settings["compare"] | {"models": [MODEL, "mlp"]},
                [raw],
                [f"reports/compare/{name}" for name in compared],
            ),
        }
    )
    return tracked


def test_earlier_reports_are_shown_under_today_s_names(old_repository, warnings) -> None:
    run_sync(old_repository)
    assert counts(warnings()) == [4, 0, 0]
    run = old_repository.run()
    assert {name: value for name, value in run.data.metrics.items() if name not in ("parameters", *CURVES)} == {
        "accuracy": 0.75,
        "errors": 5,
        "calibration_error": 0.125,
        "corruption_accuracy": 0.5,
        "corruption_accuracy_worst": 0.25,
        "attack_accuracy_16": 0.375,
        "ood_auroc": 0.75,
        "onnx/size_bytes": 7,
        "onnx/int8_size_ratio": 0.5,
    }
    assert {"warmup_epochs": "1", "validation_size": "5", "dataset": "mnist"}.items() <= run.data.params.items()
    assert {"confusion.png", "predictions.csv"} <= set(old_repository.artifacts(run, "evaluate"))
    facts = {run.data.tags["dvc.stage"]: run.data.metrics for run in old_repository.runs("-data")}
    assert facts["validate"] == {"train/images": 60}
    (comparison,) = old_repository.runs("-comparisons")
    assert comparison.data.metrics == {"images": 20, "missed_by_all": 1}


def test_what_changed_since_an_earlier_release_has_no_parameter_that_only_one_of_them_has(old_repository) -> None:
    run_git("add", "dvc.lock")
    run_git("-c", "user.name=A", "-c", "user.email=a@example", "commit", "--quiet", "--message", "An earlier release")
    old_repository.change("train", device="cpu")
    old_repository.train(seed=7)
    assert old_repository.run().data.tags["changed"] == "device auto → cpu"


def test_a_comparison_of_other_predictions_is_not_shown(old_repository, warnings) -> None:
    change_lock("evaluate@mlp", outs=[])
    run_sync(old_repository)
    assert counts(warnings()) == [3, 0, 0]
    assert old_repository.runs("-comparisons") == []


def test_the_run_of_an_earlier_release_gets_today_s_names(old_repository, warnings) -> None:
    """It is found, though settings of evaluate are among its parameters, and is not replaced."""
    run_sync(old_repository)
    run, client = old_repository.run(), old_repository.store.client
    old = client.create_run(run.info.experiment_id, tags={**run.data.tags, "evaluate.md5": "of another"})
    for name, value in {**run.data.params, "evaluate.confidence": "0.9"}.items():
        client.log_param(old.info.run_id, name, value)
    client.log_metric(old.info.run_id, "test/accuracy", 0.75)
    client.set_terminated(old.info.run_id)
    client.delete_run(run.info.run_id)
    warnings()
    run_sync(old_repository)
    assert counts(warnings()) == [1, 3, 0]
    found = old_repository.run()
    assert found.info.run_id == old.info.run_id
    assert {"accuracy", "test/accuracy", "train_loss"} <= found.data.metrics.keys()
    assert [point for point, _ in old_repository.history(found, "train_loss")] == [1, 2]
