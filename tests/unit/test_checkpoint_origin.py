"""A checkpoint is found again by the training that wrote it, and by no other."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from mnist_pipeline.models import Description
from mnist_pipeline.params import load_params
from mnist_pipeline.stages import train
from mnist_pipeline.tasks.changes import with_training
from mnist_pipeline.training.team import ALONE, Team

DESCRIPTION = Description("lenet", {"activation": "relu", "pooling": "max"}, ["0", "1"], 0.1, 0.3, "data")
SAME: dict[str, Any] = {
    "params": load_params(),
    "description": DESCRIPTION,
    "team": ALONE,
    "device": torch.device("cpu"),
}


def origin(**changes: Any) -> str:
    return json.dumps(train.checkpoint_origin(**(SAME | changes)), sort_keys=True)


def with_train(**values: Any) -> Any:
    params = load_params()
    return params.model_copy(update={"train": params.train.model_copy(update=values)})


@pytest.mark.parametrize(
    "changes",
    [
        {"params": with_train(seed=1)},
        {"params": with_train(validation_size=1)},
        {"params": with_training(load_params(), "lenet", {"augmentation.shear": 1.0})},
        {"params": with_training(load_params(), "lenet", {"learning_rate": 0.5})},
        {"description": replace(DESCRIPTION, data_md5="other data")},
        {"description": replace(DESCRIPTION, mean=0.2)},
        {"team": Team(0, 2)},
        {"device": torch.device("mps")},
    ],
    ids=str,
)
def test_another_training_has_another_checkpoint(changes: dict[str, Any]) -> None:
    assert origin(**changes) != origin()


def test_another_precision_has_another_checkpoint() -> None:
    first, second = (with_training(load_params(), "lenet", {"precision": name}) for name in ("float32", "bfloat16"))
    assert origin(params=first) != origin(params=second)


def test_another_model_s_parameters_and_the_rank_do_not_matter() -> None:
    assert origin(params=with_training(load_params(), "mlp", {"learning_rate": 0.5})) == origin()
    assert origin(team=Team(0, 2)) == origin(team=Team(1, 2))


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(train, "tree_digest", lambda folder, pattern: "other code"),
        lambda patch: patch.setattr(torch, "__version__", "3.0"),
        lambda patch: patch.setattr(torch, "get_num_threads", lambda: 77),
        lambda patch: patch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41"),
    ],
    ids=["code", "torch", "threads", "instructions"],
)
def test_other_circumstances_have_another_checkpoint(
    change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = origin()
    change(monkeypatch)
    assert origin() != before
