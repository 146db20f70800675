"""What a machine computes in, and what it does with memory between two steps."""

import os
import subprocess
import sys

import pytest
import torch

from mnist_pipeline.devices import choose_precision

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.mark.parametrize(
    ("name", "device", "capabilities", "expected"),
    [
        ("auto", CPU, {"avx512_bf16": True}, torch.bfloat16),
        ("auto", CPU, {"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ("auto", CPU, {"bf16": True, "neon": True}, torch.bfloat16),
        ("auto", CPU, {"avx512_f": True, "avx512_bf16": False}, torch.float32),
        ("auto", CPU, {}, torch.float32),
        ("auto", MPS, {"bf16": True}, torch.float32),
        ("float32", CPU, {"avx512_bf16": True}, torch.float32),
        ("bfloat16", CPU, {}, torch.bfloat16),
    ],
)
def test_a_processor_multiplies_bfloat16_only_where_it_can(
    name: str,
    device: torch.device,
    capabilities: dict[str, bool],
    expected: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision(name, device) == expected


STEPS = """
import resource, sys, torch
from mnist_pipeline.devices import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    [torch.empty(2**20).fill_(1) for _ in range(8)]  # 4 MiB each
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(option: str) -> int:
    """Pages that the system had to hand out anew.

    glibc comes to keep memory by itself where nothing else lies above it, which is chance, unless its limit is set.
    """
    environment = os.environ | {"GLIBC_TUNABLES": f"glibc.malloc.mmap_threshold={2**20}"}
    command = [sys.executable, "-c", STEPS, option]
    return int(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def test_memory_that_is_freed_is_there_for_the_next_step() -> None:
    assert faults("keep") * 100 < faults("as it comes")
