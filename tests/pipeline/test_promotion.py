"""`promote`, `rollback` and `lineage` as people type them, in order, in one project with one model."""

import json
import shutil
import subprocess
from dataclasses import asdict

import pytest

from mnist_pipeline.files import file_digest
from mnist_pipeline.params import load_params
from mnist_pipeline.tasks.lineage import trace
from tracked_content import client_of, rows_of

ONNX = "models/mlp/model.onnx"


def aliases(project) -> dict[str, str]:
    model = client_of(project.path).get_registered_model("mlp")
    return {alias: str(version) for alias, version in model.aliases.items()}


def champion(project) -> bytes:
    """The ONNX file that MLflow gives for the alias."""
    address = f"MLFLOW_TRACKING_URI=sqlite:///{project.path}/mlruns/mlflow.db"
    target = project.path.parent / "champion"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    download = ("mlflow", "artifacts", "download", "--artifact-uri", "models:/mlp@champion", "--dst-path", str(target))
    project.run("env", address, *download)
    (network,) = target.rglob("*.onnx")
    return network.read_bytes()


def change(project, **settings: object) -> None:
    """Trains the MLP with other settings, and commits the result."""
    params = project.params()
    params["train"]["mlp"] |= settings
    project.write_params(params)
    project.run("dvc", "repro")
    project.commit(f"Trained with {settings}")


def tell(project, name: str) -> dict:
    """What the command prints as JSON, without the seconds that a process takes to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path)
        (lineage,) = trace(load_params(), name)
    return asdict(lineage)


@pytest.fixture(scope="module")
def trained(project):
    params = project.params()
    params["models"] = ["mlp"]
    params["train"]["mlp"] |= {"epochs": 8, "learning_rate": 0.01}
    project.write_params(params)
    lines = project.read("dvc.yaml").split("\nplots:")[0]
    (project.path / "dvc.yaml").write_text(lines + "\n")
    project.run("dvc", "repro")
    return project


def refusal(project, *options: str) -> str:
    printed = project.run("mnist-pipeline", "promote", "mlp", *options, code=1)
    assert "Traceback" not in printed
    assert "mlp@v" not in project.run("git", "tag") or aliases(project)
    return printed.splitlines()[-1]


def test_what_is_not_committed_is_refused(trained) -> None:
    assert refusal(trained).startswith("error: the work tree is dirty: ")
    trained.commit("The first model")


def test_without_a_row_the_mend_is_named(trained) -> None:
    (trained.path / "mlruns").rename(trained.path.parent / "mlruns")
    assert refusal(trained) == "error: MLflow has no row of this ONNX file: run mnist-pipeline sync"
    shutil.rmtree(trained.path / "mlruns")
    (trained.path.parent / "mlruns").rename(trained.path / "mlruns")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("reports/validate/metrics.json", "missing: the gate has not passed the data"),
        ("reports/export/mlp/metrics.json", "missing: export has not proved it equal to PyTorch"),
        (ONNX, "missing: export has not proved it equal to PyTorch"),
        ("models/mlp/weights.safetensors", "train@mlp: not as dvc.lock has it"),
    ],
)
def test_a_missing_proof_is_refused(trained, file: str, reason: str) -> None:
    (trained.path / file).unlink()
    assert reason in refusal(trained)
    trained.run("dvc", "checkout")


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_damaged_report_is_named(trained, content: str) -> None:
    report = trained.path / "reports/export/mlp/metrics.json"
    report.unlink()
    report.write_text(content)
    assert refusal(trained) == "error: reports/export/mlp/metrics.json: not what export wrote: run dvc checkout"
    trained.run("dvc", "checkout", "--force")


def test_the_first_model_becomes_champion(trained) -> None:
    assert "mlp version 1 is champion" in trained.run("mnist-pipeline", "promote", "mlp")
    assert aliases(trained) == {"champion": "1"}
    assert trained.run("git", "cat-file", "-t", "mlp@v1.0.0").strip() == "tag"
    assert champion(trained) == (trained.path / ONNX).read_bytes()


def test_a_lost_registry_is_made_again_with_the_tag_that_is_there(trained) -> None:
    shutil.rmtree(trained.path / "mlruns")
    trained.run("mnist-pipeline", "sync")
    assert "mlp version 1 is champion" in trained.run("mnist-pipeline", "promote", "mlp")
    assert aliases(trained) == {"champion": "1"}
    assert trained.run("git", "tag").split() == ["mlp@v1.0.0"]


def test_the_champion_is_not_promoted_twice(trained) -> None:
    assert "champion already" in trained.run("mnist-pipeline", "promote", "mlp")
    assert aliases(trained) == {"champion": "1"}
    assert trained.run("git", "tag").split() == ["mlp@v1.0.0"]


def test_without_a_previous_champion_there_is_no_way_back(trained) -> None:
    printed = trained.run("mnist-pipeline", "rollback", "mlp", code=1)
    assert printed == "error: mlp: MLflow's registry has no previous champion to go back to\n"


def test_every_name_of_a_model_leads_to_its_origin(trained) -> None:
    commit = trained.run("git", "rev-parse", "HEAD").strip()
    (row,) = rows_of(trained.path)
    for name in (ONNX, "models:/mlp@champion", "models:/mlp/1", "mlp@v1.0.0"):
        found = tell(trained, name)
        assert found["md5"] == file_digest(trained.path / ONNX, "md5")
        assert (found["commit"], found["stage"], found["tags"]) == (commit, "export@mlp", ["mlp@v1.0.0"])
        assert [run["run_id"] for run in found["runs"]] == [row.info.run_id]
        assert [(version["version"], version["aliases"]) for version in found["versions"]] == [("1", ("champion",))]
        assert found["parameters"]["train"]["mlp"]["epochs"] == 8
        assert found["data_md5"] == row.data.tags["data.md5"]
        assert found["unknown"] == []
    for name in (row.info.run_id, "models/mlp/weights.safetensors"):
        found = tell(trained, name)
        assert (found["md5"], found["commit"], found["stage"]) == (row.data.tags["dvc.md5"], commit, "train@mlp")
    by_commit = json.loads(trained.run("mnist-pipeline", "lineage", commit[:9], "--json"))
    assert {entry["artifact"] for entry in by_commit} == {ONNX, "models/mlp/weights.safetensors"}


def test_lineage_leads_from_a_comparison_to_the_models(trained) -> None:
    printed = trained.run("mnist-pipeline", "lineage", "reports/compare/metrics.json")
    assert "\n  stage      compare\n" in printed
    assert "\n  models     mlp\n" in printed
    weights = file_digest(trained.path / "models/mlp/weights.safetensors", "md5")
    assert f"mlp-{weights[:7]} " in printed


def test_lineage_says_what_it_cannot_know(trained) -> None:
    stranger = trained.path.parent / "stranger.onnx"
    shutil.copy(trained.path / ONNX, stranger)
    with stranger.open("ab") as file:
        file.write(b"\x1a\x00")  # an empty domain: other bytes, the same network
    printed = trained.run("mnist-pipeline", "lineage", str(stranger))
    assert "no dvc.lock of this repository records these bytes" in printed
    assert "model=mlp" in printed
    printed = trained.run("env", "MLFLOW_TRACKING_URI=http://127.0.0.1:1", "mnist-pipeline", "lineage", ONNX)
    assert "runs and registry: MLflow fails" in printed
    assert "The first model" in printed
    printed = trained.run("mnist-pipeline", "lineage", "nothing", code=1)
    assert printed == "error: nothing: no file, no run or version in MLflow, and no commit or tag of git\n"
    printed = trained.run("mnist-pipeline", "lineage", "HEAD~1", code=1)
    assert printed == "error: HEAD~1: this commit has no dvc.lock: nothing had run in it\n"


def test_a_worse_model_is_refused_with_the_reason(trained) -> None:
    change(trained, learning_rate=0.000001, epochs=1, warmup_epochs=0)
    printed = refusal(trained)
    assert printed.startswith("error: not promoted: worse than version 1, with p below 0.05")
    assert aliases(trained) == {"champion": "1"}
    assert trained.run("git", "tag").split() == ["mlp@v1.0.0"]


def test_without_a_registry_the_tag_is_what_to_beat(trained) -> None:
    (trained.path / "mlruns").rename(trained.path.parent / "mlruns")
    trained.run("mnist-pipeline", "sync")
    assert "error: not promoted: worse than mlp@v1.0.0" in trained.run("mnist-pipeline", "promote", "mlp", code=1)
    shutil.rmtree(trained.path / "mlruns")
    (trained.path.parent / "mlruns").rename(trained.path / "mlruns")


def test_a_class_that_falls_is_refused(trained) -> None:
    params = trained.params()
    params["tracking"]["promote"] = {"significance": 1e-300, "max_class_drop": 0.01}
    trained.write_params(params)
    trained.commit("Significance out of reach")
    assert "error: not promoted: recall of class " in refusal(trained)


def test_what_has_not_run_since_it_changed_is_refused(trained) -> None:
    params = trained.params()
    params["export"]["latency_repeats"] = 3
    trained.write_params(params)
    trained.commit("Not run yet")
    assert "export@mlp: not as dvc.lock has it: run make repro" in refusal(trained)


def test_a_good_model_takes_over_once_though_two_promote_it(trained) -> None:
    params = trained.params()
    params["tracking"]["promote"] = {"significance": 0.05, "max_class_drop": 0.5}
    trained.write_params(params)
    change(trained, learning_rate=0.01, epochs=24, warmup_epochs=1)
    command = ["mnist-pipeline", "promote", "mlp", "--bump", "patch"]
    both = [
        subprocess.Popen(command, cwd=trained.path, env=trained.environment(), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert sum("version 2 is champion;" in text for text in printed) == 1
    assert sum("champion already" in text for text in printed) == 1
    assert aliases(trained) == {"champion": "2", "previous": "1"}
    assert trained.run("git", "tag").split() == ["mlp@v1.0.0", "mlp@v1.0.1"]


def test_rollback_goes_back_and_forth(trained) -> None:
    assert "mlp version 1 is champion again" in trained.run("mnist-pipeline", "rollback", "mlp")
    assert aliases(trained) == {"champion": "1", "previous": "2"}
    trained.run("mnist-pipeline", "rollback", "mlp")
    assert aliases(trained) == {"champion": "2", "previous": "1"}


def test_a_champion_outlives_another_export_of_its_row(trained) -> None:
    """The row then shows the other network; the registry keeps the one that was promoted."""
    network = (trained.path / ONNX).read_bytes()
    (trained.path / ONNX).write_bytes(network + b"\x1a\x00")
    script = (
        "from mnist_pipeline.params import load_params; from mnist_pipeline.tracking.publish import publish_export; "
        "publish_export(load_params(), 'mlp', {})"
    )
    trained.run("python", "-c", script)
    trained.run("dvc", "checkout", "--force")
    assert champion(trained) == network


def test_an_unknown_model_or_address_ends_in_one_line(trained) -> None:
    for command, message in (
        (("promote", "resnet"), "error: resnet: no such model; models in params.yaml names mlp\n"),
        (("rollback", "resnet"), "error: resnet: no such model; models in params.yaml names mlp\n"),
        (("lineage", "models:/mlp@nobody"), "error: models:/mlp@nobody: MLflow's registry has no such version"),
        (("lineage", "models:/mlp"), "error: models:/mlp: expected models:/<name>@<alias> or models:/<name>/<version>"),
    ):
        assert trained.run("mnist-pipeline", *command, code=1).startswith(message)
