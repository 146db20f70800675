"""A folder with the files that the stages leave, small and made up, and a store of its own."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from mnist_pipeline import paths
from mnist_pipeline.params import Params, load_params
from mnist_pipeline.tracking import publish, runs
from mnist_pipeline.tracking.store import Store, open_store

ROOT = Path(__file__).parents[3]
MODEL, OTHER = "lenet", "mlp"
HISTORY = ("epoch", "learning_rate", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
EPOCHS = ((1, 0.1, 2.5, 0.25, 2.25, 0.5), (2, 0.05, 1.5, 0.5, 1.25, 0.75))
TIMINGS = {"latency_ms/batch_1/onnxruntime": 0.25}


def tiny_network(seed: int) -> onnx.ModelProto:
    """Raw pixels to logits by one random matrix."""
    weights = np.random.default_rng(seed).normal(size=(784, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 10]) for name in ("logits", "probabilities")
    ]
    graph = helper.make_graph(nodes, "tiny", [image], outputs, [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@dataclass
class Tracked:
    """Stages that write their files at once, and publish them as the real ones do."""

    params: Params
    path: Path

    def change(self, section: str, **changed: Any) -> None:
        settings = getattr(self.params, section).model_copy(update=changed)
        self.params = self.params.model_copy(update={section: settings})

    def write_training(self, seed: int = 0) -> None:
        weights = np.random.default_rng(seed).normal(size=4)
        paths.weights(MODEL).parent.mkdir(parents=True, exist_ok=True)
        save_file({"weights": weights}, paths.weights(MODEL))
        lines = [",".join(HISTORY), *(",".join(map(str, epoch)) for epoch in EPOCHS)]
        self.write(paths.report("train", MODEL) / "history.csv", "\n".join(lines) + "\n")
        metrics = {"epochs": len(EPOCHS), "parameters": 4, "validation_accuracy": 0.75, "validation_loss": 1.25}
        self.write(paths.report("train", MODEL) / "metrics.json", json.dumps(metrics))

    def write(self, path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def train(self, seed: int = 0) -> None:
        with publish.training_run(self.params, MODEL) as row:
            for epoch in EPOCHS:
                row.log_epoch(epoch[0], dict(zip(HISTORY, epoch, strict=True)))
            self.write_training(seed)
            row.finish()

    def train_without_a_store_from_the_second_epoch_on(self) -> None:
        """It answers again before the training ends."""

        def die(*_: object) -> None:
            raise MlflowException("connection reset")

        with publish.training_run(self.params, MODEL) as row:
            row.log_epoch(1, {"train_loss": 2.5})
            with mock.patch.object(runs, "log_metrics", die):
                row.log_epoch(2, {"train_loss": 1.5})
            row.log_epoch(3, {"train_loss": 0.5})
            self.write_training()
            row.finish()

    def evaluate(self, accuracy: float = 0.9, **more: float) -> None:
        folder = paths.report("evaluate", MODEL)
        per_class = {"T-shirt/top": {"recall": 0.5}}
        metrics = {
            "accuracy": accuracy,
            "per_class": per_class,
            "robustness": {"mean": 0.75},
            "attack": {"16": 0.5},
            "out_of_distribution": {"fashion_mnist": {"auroc": 0.875}},
            **more,
        }
        self.write(folder / "metrics.json", json.dumps(metrics))
        self.write(folder / "confusion.png", "a picture")
        publish.publish_evaluation(self.params, MODEL)

    def compare(self, seed: int = 0, difference: float = 0.25) -> None:
        """With a second model, of which nothing is there but weights."""
        paths.weights(OTHER).parent.mkdir(parents=True, exist_ok=True)
        save_file({"weights": np.random.default_rng(seed).normal(size=4)}, paths.weights(OTHER))
        pairs = {f"{MODEL} against {OTHER}": {"difference": difference, "won": 3}}
        metrics = {"images": 200, "missed_by_all": 5, "pairs": pairs}
        self.write(paths.COMPARISON / "metrics.json", json.dumps(metrics))
        self.write(paths.COMPARISON / "pairs.csv", "a table")
        self.write(paths.COMPARISON / ".gitignore", "what DVC writes there")
        publish.publish_comparison(self.params)

    def export(self, seed: int = 0) -> None:
        network = tiny_network(seed)
        onnx.save(network, paths.onnx(MODEL))
        self.write(paths.report("export", MODEL) / "metrics.json", json.dumps({"max_logit_difference": 0.5}))
        publish.publish_export(self.params, MODEL, TIMINGS)

    def export_with_int8(self, offered: bool) -> None:
        onnx.save(tiny_network(0), paths.onnx(MODEL))
        found = {"offered": offered, "reason": "a reason", "accuracy": 0.75}
        self.write(paths.report("export", MODEL) / "metrics.json", json.dumps({"opset": 18, "int8": found}))
        if offered:
            self.write(paths.int8(MODEL), "a network")
        publish.publish_export(self.params, MODEL, TIMINGS | {"int8/latency_ratio/batch_1": 0.5})

    def card(self, text: str = "# A card") -> None:
        self.write(paths.model_card(MODEL), text)
        publish.publish_card(self.params, MODEL)

    @property
    def store(self) -> Store:
        return open_store(self.params.tracking.experiment)

    def rows(self) -> list[Run]:
        return list(self.store.client.search_runs([self.store.models]))

    def row(self) -> Run:
        (row,) = self.rows()
        return row

    def data_rows(self) -> list[Run]:
        return list(self.store.client.search_runs([self.store.data]))

    def comparisons(self) -> list[Run]:
        name = f"{self.params.tracking.experiment}-comparisons"
        found = self.store.client.get_experiment_by_name(name)
        return list(self.store.client.search_runs([found.experiment_id])) if found else []

    def history(self, row: Run, metric: str) -> list[tuple[int, float]]:
        points = self.store.client.get_metric_history(row.info.run_id, metric)
        return [(point.step, point.value) for point in points]

    def artifacts(self, row: Run, folder: str) -> list[str]:
        return [file.path for file in self.store.client.list_artifacts(row.info.run_id, folder)]


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Opening a store gives MLflow's variables their defaults."""
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "MLFLOW_"))]:
            del os.environ[name]
        yield


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: to make one takes 0.7 s, to copy one nothing."""
    folder = tmp_path_factory.mktemp("database")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        open_store(load_params(ROOT / "params.yaml").tracking.experiment)
    return folder / "mlruns/mlflow.db"


@pytest.fixture
def tracked(tmp_path: Path, tiny_data: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Tracked:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, paths.RAW)
    Path("mlruns").mkdir()
    shutil.copy(database, "mlruns")
    return Tracked(load_params(ROOT / "params.yaml"), tmp_path)


@pytest.fixture
def data_docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "index.html").write_text("what was expected")
    return folder


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Gives the lines of standard error since it last did; standard output must have none."""

    def lines() -> list[str]:
        out, err = capfd.readouterr()
        assert out == ""
        return err.splitlines()

    return lines
