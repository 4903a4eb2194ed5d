import copy

import pytest
import torch
from torch import nn

from crossent.train.optim import adamw, cosine_share, warm_up_and_cosine
from crossent.train.parameters import FlatParameters


def test_only_matrices_decay() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    before = copy.deepcopy(network.state_dict())
    # Without a gradient a step is the decay alone.
    adamw(FlatParameters(network), learning_rate=0.1, weight_decay=0.5).step()
    for name, after in network.state_dict().items():
        factor = 1 - 0.1 * 0.5 if name.endswith("weight") else 1.0
        torch.testing.assert_close(after, before[name] * factor)


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 5000])
def test_learning_rate_rises_to_its_peak_once_and_falls_to_nearly_nothing(steps: int) -> None:
    shares = [cosine_share(step, steps) for step in range(steps)]
    peak = shares.index(max(shares))
    assert max(shares) == 1
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert min(shares) > 0
    if steps >= 100:
        assert shares[-1] < 1e-3


def test_schedule_sets_the_learning_rates() -> None:
    optimizer = adamw(FlatParameters(nn.Linear(2, 2)), learning_rate=0.3, weight_decay=0.0)
    schedule = warm_up_and_cosine(optimizer, 50)
    for step in range(50):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3 * cosine_share(step, 50)] * 2)
        optimizer.step()
        schedule.step()
