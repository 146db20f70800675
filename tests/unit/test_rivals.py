"""What the benchmarks compare with trains as its authors would, on small data."""

from pathlib import Path

import pytest

import rivals
from mnist_pipeline import paths
from mnist_pipeline.params import load_params


@pytest.fixture
def small(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rivals train on few images for three epochs; holds the images of each epoch that has begun."""
    params, epochs = load_params(), list[int]()
    train = params.train.model_copy(update={"validation_share": 0.25})
    monkeypatch.setattr(rivals, "load_params", lambda: params.model_copy(update={"train": train}))
    monkeypatch.setattr(paths, "RAW", tiny_data)
    monkeypatch.setattr(rivals, "IMAGES", 200)
    monkeypatch.setattr(rivals, "EPOCHS", 3)
    monkeypatch.setattr(rivals, "EXAMPLE_EPOCHS", 3)
    epoch = rivals.tutorial_epoch
    monkeypatch.setattr(rivals, "tutorial_epoch", lambda *args: (epochs.append(len(args[1].dataset)), epoch(*args)))
    return epochs


@pytest.mark.parametrize("model", ["lenet", "mlp"])
def test_the_tutorials_loop_tells_its_images_a_second(model: str, small: list[int]) -> None:
    assert rivals.tutorial(model) > 0
    assert small == [200, 200, 200]


@pytest.mark.parametrize(("accuracy", "epochs"), [(0.98, 3), (0.99, 1)])
def test_pytorchs_example_ends_at_99_percent_or_with_its_last_epoch(
    accuracy: float, epochs: int, small: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "measure", lambda model, examples: (0.0, accuracy))
    assert rivals.example(0) > 0
    assert small == [300] * epochs
