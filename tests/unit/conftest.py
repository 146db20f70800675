"""A folder in which `evaluate`, `compare` and `export` can run: tiny data, weights of both models, and no tracking."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mnist_pipeline import paths
from mnist_pipeline.params import Params, load_params
from networks import ARCHITECTURES, describe, save_random_weights

ROOT = Path(__file__).parents[2]


@dataclass
class Workplace:
    """`published` has the arguments of each call of `publish`: stage, model and measurements."""

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
    place = Workplace(load_params(ROOT / "params.yaml").model_copy(update={"models": ["lenet", "mlp"]}))
    place.change("evaluate", device="cpu")
    place.change("train", validation_share=0.25)
    place.change("export", latency_repeats=2)

    def publish(params: Params, stage: str, model: str | None = None, measured: dict[str, float] | None = None) -> None:
        assert params is place.params
        place.published.append((stage, model, measured or {}))

    monkeypatch.setitem(sys.modules, "mnist_pipeline.tracking.publish", SimpleNamespace(publish=publish))
    return place


@pytest.fixture(autouse=True)
def _one_thread_and_global_state_restored() -> Iterator[None]:
    """Networks this small are slowed down by a second thread, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")
