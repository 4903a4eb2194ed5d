import copy

import pytest
import torch
from torch import nn

from crossent.train.optim import DECAY, YOUNG_STEPS, ParameterAverage, adamw, cosine_share, warm_up_and_cosine


def test_only_matrices_decay() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    before = copy.deepcopy(network.state_dict())
    optimizer = adamw(network, learning_rate=0.1, weight_decay=0.5)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, after in network.state_dict().items():
        # Without a gradient a step is the decay alone.
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
    optimizer = adamw(nn.Linear(2, 2), learning_rate=0.3, weight_decay=0.0)
    schedule = warm_up_and_cosine(optimizer, 50)
    for step in range(50):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3 * cosine_share(step, 50)] * 2)
        optimizer.step()
        schedule.step()


def test_average_is_the_recurrence_written_out() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.detach().fill_(2.0)
    average = ParameterAverage(network)
    expected = 2.0
    for step in range(1, 2000):
        network.weight.detach().fill_(float(step % 7))
        average.update()
        decay = min(DECAY, step / (step + YOUNG_STEPS))
        expected = decay * expected + (1 - decay) * (step % 7)
    assert average.values[0].item() == pytest.approx(expected, rel=1e-4)


def test_average_takes_the_place_of_the_parameters_and_gives_it_back_even_after_an_error() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.detach().fill_(1.0)
    average = ParameterAverage(network)
    network.weight.detach().fill_(5.0)
    with pytest.raises(ZeroDivisionError):
        fail_with_the_average_in_place(network, average)
    assert network.weight.item() == 5.0


def fail_with_the_average_in_place(network: nn.Linear, average: ParameterAverage) -> None:
    with average.in_place():
        assert network.weight.item() == 1.0
        raise ZeroDivisionError
