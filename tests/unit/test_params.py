"""Mistakes in params.yaml end in one message that names the key, the value and what is allowed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.params import load_params

ROOT = Path(__file__).parents[2]


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    if value is None:
        del section[last]
    else:
        section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_repository_s_own_parameters_load() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.training("lenet").optimizer == "adamw"


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("train.lenet.learning_rat", 0.1, "train.lenet.learning_rat is not a known key"),
        ("train.lenet.learning_rate", "fast", "train.lenet.learning_rate = 'fast'"),
        ("train.lenet.learning_rate", -1.0, "train.lenet.learning_rate = -1.0: Input should be greater than 0"),
        ("train.lenet.learning_rate", None, "train.lenet.learning_rate is missing"),
        ("train.lenet.epochs", 2.5, "train.lenet.epochs = 2.5"),
        ("train.lenet.epochs", True, "train.lenet.epochs = True"),
        ("train.lenet.warmup_epochs", 99, "warmup_epochs 99 must be less than epochs"),
        ("train.lenet.optimizer", "adam", "'adamw' or 'sgd'"),
        ("train.device", "gpu", "train.device = 'gpu'"),
        ("train.lenet.augmentation.rotation", 400, "train.lenet.augmentation.rotation = 400"),
        ("data.dataset", "emnist", "data.dataset = 'emnist'"),
        ("models", ["lenet", "resnet"], "models names 'resnet', which has no section train.resnet"),
        ("models", [], "models = []"),
        ("models", ["mlp", "lenet", "mlp"], "models = ['mlp', 'lenet', 'mlp']: a model stands there twice"),
        ("train.sed", 1, "train.sed is not a known key"),
        ("train.validation_size", 0, "train.validation_size = 0: Input should be greater"),
        ("validate.suite", "mnst", "validate.suite = 'mnst': Input should be 'auto', 'mnist',"),
        ("validate.suites.mnst", {}, "validate.suites.mnst = 'mnst': Input should be 'mnist',"),
        ("evaluate.confidence", 95, "evaluate.confidence = 95"),
        ("evaluat", {}, "evaluat is not a known key"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, key: str, value: Any, told: str) -> None:
    with pytest.raises(PipelineError) as caught:
        load_params(changed(tmp_path, key, value))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_read_as_dvc_reads_them(tmp_path: Path) -> None:
    """YAML 1.2 takes 1e-3 for a number, YAML 1.1 for a string; DVC reads 1.2."""
    path = changed(tmp_path, "train.lenet.learning_rate", 0.5)
    path.write_text(path.read_text().replace("learning_rate: 0.5", "learning_rate: 1e-3"))
    assert load_params(path).training("lenet").learning_rate == 0.001


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="root of the repository"):
        load_params(tmp_path / "params.yaml")


def test_broken_yaml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: [1,\n")
    with pytest.raises(PipelineError, match="line 2"):
        load_params(path)


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("# café".encode("latin-1"))
    with pytest.raises(PipelineError, match=r"params\.yaml: byte 5 is not UTF-8"):
        load_params(path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("")
    with pytest.raises(PipelineError, match="the file"):
        load_params(path)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(PipelineError, match="resnet: no such model"):
        load_params(ROOT / "params.yaml").training("resnet")
