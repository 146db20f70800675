"""What `dvc.lock` records, as the stages' parameters and hashes."""

import pytest

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.history.lock import merge, parse_lock

LOCK = """
schema: '2.0'
stages:
  train@mlp:
    cmd: train
    deps: [{path: data/raw, md5: a.dir}]
    params: {params.yaml: {data.dataset: idx, train.seed: 1, train.mlp: {epochs: 2}}}
    outs: [{path: models/mlp/weights.safetensors, md5: b}]
"""


def test_parameters_are_nested_as_in_their_file() -> None:
    stage = parse_lock(LOCK, "dvc.lock")["train@mlp"]
    assert stage.values == {"data": {"dataset": "idx"}, "train": {"seed": 1, "mlp": {"epochs": 2}}}
    assert (stage.dependencies, stage.outputs) == ({"data/raw": "a.dir"}, {"models/mlp/weights.safetensors": "b"})


def test_merged_values_share_nothing_with_what_was_merged() -> None:
    stage = parse_lock(LOCK, "dvc.lock")["train@mlp"]
    merged: dict = {}
    merge(merged, stage.values)
    merge(merged, {"train": {"mlp": {"epochs": 3}}})
    assert merged["train"] == {"seed": 1, "mlp": {"epochs": 3}}
    assert stage.values["train"]["mlp"] == {"epochs": 2}


@pytest.mark.parametrize("text", ["[", "stages: 1", "<<<<<<< ours\nstages: {}", "stages: {train: {outs: [{path: a}]}}"])
def test_what_is_no_lock_file_is_named(text: str) -> None:
    with pytest.raises(PipelineError, match=r"^dvc\.lock of 0123abc: not a lock file of DVC"):
        parse_lock(text, "dvc.lock of 0123abc")
