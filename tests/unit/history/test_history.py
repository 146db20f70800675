"""What `dvc.lock` records, as the stages' parameters and hashes."""

import pytest

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.history.lock import merge, parse_lock, upstream

LOCK = """
schema: '2.0'
stages:
  train@mlp:
    cmd: train
    deps: [{path: data/raw, md5: a.dir}]
    params: {params.yaml: {data.dataset: idx, train.seed: 1, train.mlp: {epochs: 2}}}
    outs: [{path: models/mlp/weights.safetensors, md5: b}]
"""
FOLDERS = """
stages:
  train@mlp: {outs: [{path: models/mlp/weights, md5: a}]}
  evaluate@mlp: {deps: [{path: models/mlp/weights, md5: a}], outs: [{path: reports/evaluate/mlp/metrics.json, md5: b}]}
  evaluate@lenet: {outs: [{path: reports/evaluate/lenet/metrics.json, md5: c}]}
  evaluate-other: {outs: [{path: reports/evaluate-other, md5: d}]}
  compare: {deps: [{path: reports/evaluate, md5: e.dir}], outs: [{path: reports/compare/metrics.json, md5: f}]}
"""


def test_parameters_are_nested_as_in_their_file_and_shared_by_no_copy() -> None:
    stage = parse_lock(LOCK, "dvc.lock")["train@mlp"]
    assert (stage.dependencies, stage.outputs) == ({"data/raw": "a.dir"}, {"models/mlp/weights.safetensors": "b"})
    merged: dict = {}
    merge(merged, stage.values)
    merge(merged, {"train": {"mlp": {"epochs": 3}}})
    assert merged == {"data": {"dataset": "idx"}, "train": {"seed": 1, "mlp": {"epochs": 3}}}
    assert stage.values["train"] == {"seed": 1, "mlp": {"epochs": 2}}


@pytest.mark.parametrize("text", ["[", "stages: 1", "<<<<<<< ours\nstages: {}", "stages: {train: {outs: [{path: a}]}}"])
def test_what_is_no_lock_file_is_named(text: str) -> None:
    with pytest.raises(PipelineError, match=r"^dvc\.lock of 0123abc"):
        parse_lock(text, "dvc.lock of 0123abc")


def test_who_reads_a_folder_depends_on_every_stage_that_writes_into_it() -> None:
    found = upstream(parse_lock(FOLDERS, "dvc.lock"), "compare")
    assert found == ["compare", "evaluate@mlp", "evaluate@lenet", "train@mlp"]
