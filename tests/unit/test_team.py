"""The shares of a batch, and what one process alone makes of the team's questions; tests/pipeline starts several."""

import itertools

import pytest
import torch

from mnist_pipeline.training.team import ALONE, Team


@pytest.mark.parametrize("count", [0, 1, 2, 7, 128])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_the_shares_of_a_batch_are_even_and_leave_nothing_out(count: int, size: int) -> None:
    shares = [list(range(count))[Team(rank, size).share(count)] for rank in range(size)]
    assert list(itertools.chain(*shares)) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_is_its_own_team() -> None:
    device = torch.device("cpu")
    model = torch.nn.Linear(2, 2)
    assert ALONE.leads
    assert ALONE.wrap(model, torch.zeros(1, 2)) is model
    assert ALONE.hear(b"abc", device) == b"abc"
    assert ALONE.decide(True, device)
    assert not ALONE.decide(False, device)
    values = torch.tensor([1, 2])
    total = ALONE.total(values)
    values += 1
    assert total.tolist() == [1, 2]
