"""Mistakes in params.yaml end in one message that names the key, the value and what is allowed."""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from mnist_pipeline.errors import LONGEST, PipelineError
from mnist_pipeline.params import load_params

ROOT = Path(__file__).parents[2]
OURS = (ROOT / "params.yaml").read_text()
ABSENT = object()


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    content = yaml.safe_load(OURS)
    *parents, last = key.split(".")
    section = reduce(getitem, parents, content)
    section[last] = value
    if value is ABSENT:
        del section[last]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def error(path: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        load_params(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < LONGEST + 500
    return message


def test_dvc_changes_one_line_where_a_user_sets_one_value(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(OURS)
    with modify_yaml(path) as content:  # as `dvc exp run --set-param` does
        content["train"]["mlp"]["epochs"] = 1
    shared = [line for line in OURS.splitlines() if not line.startswith("    ")]  # than which models have more
    assert len(shared) < 110
    pairs = zip(OURS.splitlines(), path.read_text().splitlines(), strict=True)
    assert [after for before, after in pairs if after != before] == ["    epochs: 1"]


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("train.lenet.learning_rat", 0.1, "train.lenet.learning_rat is not a known key"),
        ("train.lenet.learning_rate", "fast", "train.lenet.learning_rate = 'fast'"),
        ("train.lenet.learning_rate", float("nan"), "train.lenet.learning_rate = nan"),
        ("train.lenet.learning_rate", ABSENT, "train.lenet.learning_rate is missing"),
        ("train.lenet.epochs", 2.5, "train.lenet.epochs = 2.5"),
        ("train.lenet.optimizer", "adam", "'adamw' or 'sgd'"),
        ("train.lenet", None, "train.lenet"),
        ("train.seed", 2**32, "train.seed = 4294967296"),
        ("models", ["lenet", "nothing"], "models names 'nothing', which has no section train.nothing"),
        ("models", [], "models = []"),
        ("models", ["mlp", "lenet", "mlp"], "models = ['mlp', 'lenet', 'mlp']"),
        ("validate.suite", "../mnist", "validate.suite = '../mnist'"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, key: str, value: Any, named: str) -> None:
    assert named in error(changed(tmp_path, key, value))


def test_numbers_read_as_dvc_reads_them(tmp_path: Path) -> None:
    """YAML 1.2 takes 1e-3 for a number, YAML 1.1 for a string; DVC reads 1.2."""
    path = tmp_path / "params.yaml"
    path.write_text(OURS.replace("learning_rate: 0.01", "learning_rate: 1e-3"))
    assert load_params(path).training("lenet").learning_rate == 0.001


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "root of the repository"),
        ("train: [1,\n", "line 2"),
        ("a: 1\na: 2\n", "line 2"),
        ("# café".encode("latin-1"), "byte 5 is not UTF-8"),
        (OURS.replace("seed: 42", "seed: " + "9" * 5000), "not valid YAML"),
        (OURS.replace("batch_size: 128", "batch_size: 12345678901234567890"), "batch_size = 12345678901234567890"),
        ("a: " + "{a: " * 3000 + "1" + "}" * 3000, "not valid YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: !!python/object:os.system [b]\n", "not valid YAML"),
        ("#" * 2_000_000, "larger than"),
        ('"\\e[31m\\n": 1\n' + OURS, "not a known key"),
    ],
)
def test_a_hostile_or_broken_file_is_one_line(tmp_path: Path, content: str | bytes | None, named: str) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert named in error(path)
