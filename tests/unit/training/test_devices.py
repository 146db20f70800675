"""What a machine computes with: its devices, their precision, and its processes."""

import os
from typing import Any

import pytest
import torch

from mnist_pipeline.errors import PipelineError
from mnist_pipeline.training import distributed
from mnist_pipeline.training.devices import choose_device, choose_precision

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.mark.parametrize(
    ("name", "device", "capabilities", "expected"),
    [
        ("auto", CPU, {"avx512_bf16": True}, torch.bfloat16),
        ("auto", CPU, {"bf16": True, "neon": True}, torch.bfloat16),
        ("auto", CPU, {"avx512_f": True, "avx512_bf16": False}, torch.float32),
        ("auto", MPS, {"bf16": True}, torch.float32),
        ("float32", CPU, {"avx512_bf16": True}, torch.float32),
        ("bfloat16", CPU, {}, torch.bfloat16),
    ],
)
def test_a_processor_multiplies_bfloat16_only_where_it_can(
    name: str, device: torch.device, capabilities: Any, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision(name, device) == expected


def test_a_device_that_is_not_here_is_named_by_its_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("train.device", "cpu") == CPU
    with pytest.raises(PipelineError, match=r"train\.device = cuda"):
        choose_device("train.device", "cuda")


@pytest.mark.parametrize(("device", "processes"), [("mps", 2), ("cuda", 3)])
def test_more_processes_than_devices_are_refused_before_any_is_started(
    device: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(PipelineError, match=r"train\.processes"):
        distributed.launch(processes, torch.device(device), "no command")


def test_a_task_of_srun_is_one_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that the variable is restored
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert not distributed.is_launched()
    for name, value in {"STEP_NUM_TASKS": "4", "PROCID": "3", "LOCALID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("MASTER_ADDR", "node1")
    assert distributed.is_launched()
    found = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")}
    assert found == {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1"}
