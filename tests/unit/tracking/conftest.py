"""A folder with the files that the stages leave, small and made up, and a store of its own."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from mlflow.entities import Run
from safetensors.numpy import save_file

from mnist_pipeline import paths
from mnist_pipeline.formats import directory_digest
from mnist_pipeline.params import Params, load_params
from mnist_pipeline.tracking.publish import LiveRun, live_run, publish, publish_validation
from mnist_pipeline.tracking.results import CURVES
from mnist_pipeline.tracking.store import Store, open_store
from tiny_project import network

ROOT = Path(__file__).parents[3]
MODEL = "lenet"
HISTORY = ("epoch", *CURVES)
EPOCHS = ((1, 0.5, 2.25, 0.25, 2.5, 0.1), (2, 0.75, 1.25, 0.5, 1.5, 0.05))
MEASURED = {"latency_ms": 0.25, "pytorch_latency_ms": 1.0, "latency_ratio": 0.25, "latency_ms_batch_256": 9.0}
FACTS = {"train": {"images": 400, "blank": 0, "count": {"0": 40}}, "box_aspect": 0.5, "worst": float("inf")}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@dataclass
class Tracked:
    """Stages that write their files at once, and publish them as the real ones do."""

    params: Params
    path: Path

    def change(self, section: str, **changed: Any) -> None:
        settings = getattr(self.params, section).model_copy(update=changed)
        self.params = self.params.model_copy(update={section: settings})

    def write_params_for_another_process(self) -> None:
        """With a time budget for a busy machine."""
        params = (ROOT / "params.yaml").read_text()
        Path("params.yaml").write_text(params.replace("time_budget_seconds: 30", "time_budget_seconds: 300"))

    def write_training(self, seed: int = 0, model: str = MODEL) -> None:
        paths.weights(model).parent.mkdir(parents=True, exist_ok=True)
        save_file({"weights": np.random.default_rng(seed).normal(size=4)}, paths.weights(model))
        lines = [",".join(HISTORY), *(",".join(map(str, epoch)) for epoch in EPOCHS)]
        write(paths.report("train", model) / "history.csv", "\n".join(lines) + "\n")
        write(paths.report("train", model) / "metrics.json", {"parameters": 4, "validation_loss": 1.25})

    def train(self, seed: int = 0, before_epoch: Callable[[int], None] = lambda epoch: None) -> LiveRun:
        with live_run(self.params, MODEL) as run:
            for epoch in EPOCHS:
                before_epoch(epoch[0])
                run.log_epoch(dict(zip(HISTORY, epoch, strict=True)))
            self.write_training(seed)
        return run

    def evaluate(self, accuracy: float = 0.9, figure: str = "a picture") -> None:
        folder = paths.report("evaluate", MODEL)
        write(folder / "metrics.json", {"accuracy": accuracy, "errors": 20})
        write(folder / "figures/confusion.png", figure)
        write(folder / "tables/per_class.csv", "a table")
        write(folder / ".gitignore", "what DVC writes there")
        write(paths.PREDICTIONS / f"{MODEL}.csv", "predictions")
        publish(self.params, "evaluate", MODEL)

    def compare(self) -> None:
        """With a second model, of which nothing is there but the training."""
        self.write_training(model="mlp")
        write(paths.COMPARISON / "metrics.json", {"images": 200, "models": 2, "missed_by_all": 5})
        write(paths.COMPARISON / "tables/pairs.csv", "a table")
        publish(self.params, "compare")

    def write_network(self) -> None:
        weights = np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)
        onnx.save(network(weights), paths.onnx(MODEL))

    def export(self, int8: bool = False) -> None:
        self.write_network()
        write(paths.report("export", MODEL) / "metrics.json", {"max_logit_difference": 0.5, "size_bytes": 100})
        write(paths.report("export", MODEL) / "details.json", {"opset": 18})
        if int8:
            write(paths.int8(MODEL), "a network")
        publish(self.params, "export", MODEL, MEASURED)

    def card(self, result: str = "It is good.") -> None:
        write(paths.model_card(MODEL), f"# A card\n\n{result}\n\n## Use\n\nTo read digits.\n")
        publish(self.params, "card", MODEL)

    def validate(
        self, passed: bool = True, shape: Sequence[int] = (28, 28, 1), suite: str = "mnist", **facts: Any
    ) -> None:
        shutil.rmtree(paths.VALIDATION, ignore_errors=True)
        if passed:
            images = {"train": [400, *shape], "test": [200, *shape]}
            write(paths.VERDICT, {"passed": True, "data_md5": directory_digest(paths.RAW), "images": images})
            write(paths.VALIDATION / "class_counts.csv", "a table")
            write(paths.VALIDATION / "facts.json", {"suite": suite, "facts": FACTS | facts})
        write(self.path / "docs/index.html", "what was expected")
        publish_validation(self.params, passed, FACTS | facts, self.path / "docs")

    @property
    def store(self) -> Store:
        return open_store(self.params.tracking.experiment)

    def runs(self, kind: str = "") -> list[Run]:
        """The runs of models, of `-data`, or of `-comparisons`."""
        client = self.store.client
        found = client.get_experiment_by_name(f"{self.params.tracking.experiment}{kind}")
        return list(client.search_runs([found.experiment_id])) if found else []

    def run(self) -> Run:
        (run,) = self.runs()
        return run

    def history(self, run: Run, metric: str) -> list[tuple[int, float]]:
        points = self.store.client.get_metric_history(run.info.run_id, metric)
        return [(point.step, point.value) for point in points]

    def artifacts(self, run: Run, folder: str) -> list[str]:
        """The names of the files and folders in an artifact folder."""
        return sorted(Path(file.path).name for file in self.store.client.list_artifacts(run.info.run_id, folder))


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Opening a store gives MLflow's variables their defaults."""
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "MLFLOW_", "_MLFLOW_"))]:
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
    params = load_params(ROOT / "params.yaml").model_copy(update={"models": [MODEL, "mlp"]})
    return Tracked(params, tmp_path)


@pytest.fixture
def warnings(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines that were printed since the last call; standard output must have none."""

    def lines() -> list[str]:
        out, err = capfd.readouterr()
        assert out == ""
        return err.splitlines()

    return lines
