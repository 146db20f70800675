"""A folder in which `evaluate`, `compare` and `export` can run: tiny data, weights of both models, and no tracking."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mnist_pipeline import paths
from mnist_pipeline.models import Description, build, save_weights
from mnist_pipeline.params import Params, load_params

ROOT = Path(__file__).parents[2]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "lenet": {"activation": "relu", "pooling": "max"},
    "mlp": {"activation": "relu", "hidden": [16], "dropout": 0.0},
}


def describe(model: str, classes: int = 10, **architecture: Any) -> Description:
    return Description(
        model=model,
        architecture=ARCHITECTURES[model] | architecture,
        label_names=[str(label) for label in range(classes)],
        mean=0.13,
        standard_deviation=0.31,
        data_md5="0123456789abcdef0123456789abcdef.dir",
    )


def save_random_weights(path: Path, description: Description, seed: int = 0) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(description.model, description.architecture, len(description.label_names))
    save_weights(path, network, description)


@dataclass
class Workplace:
    params: Params
    published: list[tuple[Any, ...]] = field(default_factory=list)

    def change(self, section: str, **values: Any) -> None:
        changed = getattr(self.params, section).model_copy(update=values)
        self.params = self.params.model_copy(update={section: changed})


@pytest.fixture
def workplace(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_data, paths.RAW)
    for model in ARCHITECTURES:
        save_random_weights(paths.weights(model), describe(model))
    place = Workplace(load_params(ROOT / "params.yaml"))
    place.change("evaluate", device="cpu")
    place.change("train", validation_size=100)
    place.change("export", latency_repeats=2)
    publish = ModuleType("publish")
    for name in ("publish_evaluation", "publish_comparison", "publish_export"):
        setattr(publish, name, lambda *arguments: place.published.append(arguments))
    monkeypatch.setitem(sys.modules, "mnist_pipeline.tracking.publish", publish)
    return place


@pytest.fixture(autouse=True)
def _one_thread_and_global_state_restored() -> Iterator[None]:
    """Networks this small are slowed down by a second thread, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")
