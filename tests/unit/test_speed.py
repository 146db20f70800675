"""What is measured of speed, and told of it, follows what the processor can."""

from typing import Any

import pytest
import torch

import speed
import speed_tables


@pytest.mark.parametrize(
    ("native", "precisions"), [(torch.float32, {"float32"}), (torch.bfloat16, {"float32", "bfloat16"})]
)
def test_what_would_be_emulated_is_not_measured(
    native: torch.dtype, precisions: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands, products = [], []

    def in_a_process(*command: str, environment: Any = None) -> float:
        commands.append(command)
        return 100.0

    monkeypatch.setattr(speed, "choose_precision", lambda name, device: native)
    monkeypatch.setattr(speed, "in_a_process", in_a_process)
    monkeypatch.setattr(speed, "_product_rate", lambda precision: products.append(precision) or 1e9)
    monkeypatch.setattr(speed, "_operations_per_image", lambda model: 1e6)
    found = {"lenet": speed.loop("lenet")}

    assert {command[-1] for command in commands if command[0] == "speed.py"} == precisions
    assert products == [getattr(torch, name) for name in ("float32", "bfloat16") if name in precisions]
    tables = speed_tables.tables({"loop": found})
    for told in (tables["speed: loop"], tables["speed: bare"], tables["speed: peak"]):
        assert {name for name in ("float32", "bfloat16") if name in told} == precisions
