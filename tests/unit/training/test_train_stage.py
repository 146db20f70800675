"""The train stage in this process: what it reads, writes and resumes from."""

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mnist_pipeline import paths
from mnist_pipeline.commands.params_file import with_training
from mnist_pipeline.errors import PipelineError
from mnist_pipeline.files import write_json
from mnist_pipeline.formats import directory_digest
from mnist_pipeline.models.weights import load_classifier
from mnist_pipeline.params import Params, load_params
from mnist_pipeline.stages import train
from mnist_pipeline.training import distributed
from mnist_pipeline.training.loop import EpochMetrics
from networks import describe, random_classifier, save_random_weights

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


class Run:
    def __init__(self) -> None:
        self.rows: list[EpochMetrics] = []
        self.completed = False

    @contextmanager
    def live_run(self, params: Params, model: str) -> Iterator[Any]:
        yield SimpleNamespace(log_epoch=self.rows.append)
        self.completed = paths.weights(model).exists() and (paths.report("train", model) / "metrics.json").exists()


@pytest.fixture
def run(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The stage runs in a folder of its own; this is its MLflow run."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, paths.RAW)
    shutil.copytree(ROOT / "src", "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "dvc.yaml", ".")
    write_json(paths.VERDICT, {"data_md5": directory_digest(paths.RAW)})
    run = Run()
    publish: Any = SimpleNamespace(live_run=run.live_run)
    monkeypatch.setitem(sys.modules, "mnist_pipeline.tracking.publish", publish)
    return run


def small(shared: dict[str, Any] | None = None, **changes: Any) -> Params:
    """Parameters of a short training, with others of `train` and `train.lenet`."""
    params = load_params(ROOT / "params.yaml")
    values = {"device": "cpu", "validation_share": 0.25} | (shared or {})
    params = params.model_copy(update={"train": params.train.model_copy(update=values)})
    return with_training(params, "lenet", {"epochs": 2, "batch_size": 32, "precision": "float32"} | changes)


def test_it_writes_weights_history_and_metrics_and_leaves_no_checkpoint(run: Run) -> None:
    train.run(small(), "lenet")
    text = (paths.report("train", "lenet") / "history.csv").read_text()
    assert text.startswith("epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy\n1,")
    rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(text.splitlines())]
    assert rows == run.rows
    assert len(rows) == 2
    metrics = json.loads((paths.report("train", "lenet") / "metrics.json").read_text())
    assert metrics == {"parameters": 61_706} | {
        name: run.rows[-1][name] for name in ("train_loss", "validation_loss", "validation_accuracy")
    }
    _, description = load_classifier(paths.weights("lenet"))
    assert description.model == "lenet"
    assert run.completed
    assert not list(paths.CHECKPOINTS.iterdir())
    before = paths.weights("lenet").read_bytes()
    train.run(small(), "lenet")
    assert paths.weights("lenet").read_bytes() == before


@pytest.mark.parametrize("change", [paths.VERDICT.unlink, lambda: (paths.RAW / "more").touch()], ids=["none", "other"])
def test_data_that_did_not_pass_validation_train_nothing(run: Run, change: Callable[[], object]) -> None:
    change()
    with pytest.raises(PipelineError, match=r"^data/raw: not the data that passed validation: run mnist-pipeline val"):
        train.run(small(), "lenet")
    assert not run.rows
    assert not paths.CHECKPOINTS.exists()


def identity(params: Params | None = None, device: torch.device = CPU, **description: Any) -> str:
    params = params or small()
    training = train.prepare(params, "lenet", CPU)
    training = replace(training, description=replace(training.description, **description))
    return json.dumps(train.checkpoint_identity(params, training, device), sort_keys=True)


def test_a_training_may_start_from_earlier_weights(run: Run) -> None:
    """Its last layer is new where the classes have other names."""
    first = random_classifier(describe("lenet"), seed=3).network.state_dict()
    paths.INIT.mkdir()
    save_random_weights(paths.INIT / "same.safetensors", describe("lenet"), seed=3)
    named = replace(describe("lenet"), label_names=list("abcdefghij"))
    save_random_weights(paths.INIT / "named.safetensors", named, seed=3)
    for file, new in (("same.safetensors", set()), ("named.safetensors", {"fc3.weight", "fc3.bias"})):
        started = train.prepare(small(init=file), "lenet", CPU).classifier.network.state_dict()
        assert {name for name in first if not torch.equal(first[name], started[name])} == new


@pytest.mark.parametrize(
    ("save", "culprit"),
    [
        (lambda path: None, "missing"),
        (lambda path: path.write_bytes(b"no weights"), "not a weights file"),
        (lambda path: save_random_weights(path, describe("mlp")), "weights of mlp"),
        (lambda path: save_random_weights(path, describe("lenet", shape=(32, 32, 3))), r"\[32, 32, 3\]"),
    ],
)
def test_weights_that_do_not_fit_are_named(run: Run, save: Callable[[Path], object], culprit: str) -> None:
    paths.INIT.mkdir()
    save(paths.INIT / "other.safetensors")
    with pytest.raises(PipelineError, match=rf"init/other\.safetensors: .*{culprit}"):
        train.prepare(small(init="other.safetensors"), "lenet", CPU)


def test_another_training_has_another_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = [small(), small({"seed": 1}), small({"validation_share": 0.3}), small(precision="bfloat16")]
    identities = [identity(params) for params in [*trainings, small(**{"augmentation.shear": 1.0})]]
    paths.INIT.mkdir()
    for seed in (1, 2):
        save_random_weights(paths.INIT / "earlier.safetensors", describe("lenet"), seed)
        identities.append(identity(small(init="earlier.safetensors")))
    identities += [identity(data_md5="other data"), identity(mean=0.2), identity(device=torch.device("mps"))]
    for target, name, value in (
        (torch, "__version__", "3.0"),
        (torch, "get_num_threads", lambda: 77),
        (distributed, "world_size", lambda: 2),
    ):
        monkeypatch.setattr(target, name, value)
        identities.append(identity())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    identities.append(identity())
    assert len(set(identities)) == len(identities)


def test_what_cannot_change_the_weights_keeps_the_checkpoint(run: Run) -> None:
    first = identity()
    assert identity(with_training(small({"checkpoint_steps": 5}), "mlp", {"learning_rate": 0.5})) == first


def test_the_digest_of_the_code_is_that_of_the_stages_dependencies(run: Run) -> None:
    def changed(file: str) -> bool:
        before, source = train.training_code_digest("lenet"), Path("src/mnist_pipeline") / file
        source.write_text(f"{source.read_text()}\n# a comment\n")
        return train.training_code_digest("lenet") != before

    assert not any(map(changed, ["cli.py", "errors.py", "params.py", "models/mlp.py", "commands/sweep.py"]))
    assert all(map(changed, ["models/lenet.py", "training/loop.py", "data/augment.py", "stages/train.py"]))


@pytest.mark.parametrize("content", ["stages: {}", "stages: {train: {deps: null}}"])
def test_a_dvc_yaml_without_the_stage_is_named(content: str, run: Run) -> None:
    Path("dvc.yaml").write_text(content)
    with pytest.raises(PipelineError, match=r"dvc\.yaml"):
        train.training_code_digest("lenet")


def test_an_architecture_that_is_not_allowed_is_named_by_its_key(run: Run) -> None:
    with pytest.raises(PipelineError, match=r"train\.lenet\.architecture"):
        train.prepare(small(**{"architecture.pooling": "median"}), "lenet", CPU)
