import copy

import pytest
import torch
from torch import nn

from crossent.kernels import info
from crossent.train.optim import AdamW, cosine_share, warm_up_and_cosine
from crossent.train.parameters import FlatParameters

RATE, DECAY = 0.03, 0.4
native = pytest.mark.skipif(not info().available, reason="there are no native kernels here")


def start(width: int = 37) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(5, width), nn.LayerNorm(width), nn.Tanh(), nn.Linear(width, 3))
    for parameter in network.parameters():
        parameter.detach().uniform_(-0.5, 0.5, generator=generator)
    return network


def fill_gradient(parameters: FlatParameters, step: int) -> None:
    """Give all parameters gradients of very different sizes, and some none."""
    generator = torch.Generator().manual_seed(step)
    drawn = torch.randn(len(parameters.gradient), generator=generator, dtype=torch.float64)
    drawn *= torch.logspace(-9, 3, len(drawn), dtype=torch.float64)
    drawn[::5] = 0
    parameters.gradient.copy_(drawn)


def torchs_adamw(network: nn.Module) -> torch.optim.AdamW:
    weights = [one for name, one in network.named_parameters() if name.endswith("weight")]
    others = [one for name, one in network.named_parameters() if not name.endswith("weight")]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))


# Of float32 the kernel's, of float64 plain torch's.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_steps_are_those_of_torch_in_float64(dtype: torch.dtype, tolerance: float) -> None:
    reference, network = start().double(), start().to(dtype)
    theirs, mine = FlatParameters(reference), FlatParameters(network)
    torchs, own = torchs_adamw(reference), AdamW(mine, weight_decay=DECAY)
    for step in range(30):
        fill_gradient(theirs, step)
        fill_gradient(mine, step)
        torchs.step()
        own.step(RATE, step + 1)
    torch.testing.assert_close(mine.values.double(), theirs.values, rtol=tolerance, atol=tolerance)


def test_only_weights_decay() -> None:
    network = start()
    before = copy.deepcopy(network.state_dict())
    # Without a gradient a step is the decay alone.
    AdamW(FlatParameters(network), weight_decay=0.5).step(0.1, 1)
    for name, after in network.state_dict().items():
        factor = 1 - 0.1 * 0.5 if name.endswith("weight") else 1.0
        torch.testing.assert_close(after, before[name] * factor)


@native
def test_steps_are_the_same_bits_by_any_number_of_threads() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            # So many parameters that threads share them, in parts that end within the vectors of the processor.
            parameters = FlatParameters(start(20_011))
            optimizer = AdamW(parameters, weight_decay=DECAY)
            for step in range(3):
                fill_gradient(parameters, step)
                optimizer.step(RATE, step + 1)
            found.append([parameters.values, *optimizer.state().values()])
    finally:
        torch.set_num_threads(before)
    assert len(found[0][0]) > 100_000
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_goes_on_from_its_state_to_the_bit(dtype: torch.dtype) -> None:
    whole, half, other = (FlatParameters(start().to(dtype)) for _ in range(3))
    straight, begun, resumed = (AdamW(one, weight_decay=DECAY) for one in (whole, half, other))
    for step in range(6):
        fill_gradient(whole, step)
        straight.step(RATE, step + 1)
    for step in range(3):
        fill_gradient(half, step)
        begun.step(RATE, step + 1)
    resumed.step(RATE, 1)
    resumed.restore(begun.state())
    other.values.copy_(half.values)
    for step in range(3, 6):
        fill_gradient(other, step)
        resumed.step(RATE, step + 1)
    assert torch.equal(other.values, whole.values)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_shows(odd: float) -> None:
    parameters = FlatParameters(start())
    parameters.gradient[7] = odd
    AdamW(parameters, weight_decay=0.0).step(RATE, 1)
    assert parameters.values.isnan().nonzero().tolist() == [[7]]


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 5000])
def test_learning_rate_rises_to_its_peak_once_and_falls_to_nearly_nothing(steps: int) -> None:
    shares = [cosine_share(step, steps) for step in range(steps)]
    peak = shares.index(max(shares))
    assert max(shares) == 1
    assert peak < max(1, 0.06 * steps)
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert min(shares) > 0
    if steps >= 100:
        assert shares[-1] < 1e-3


def test_schedule_is_its_share_of_the_highest_rate() -> None:
    schedule = warm_up_and_cosine(0.3, 50)
    assert [schedule(step) for step in range(50)] == [0.3 * cosine_share(step, 50) for step in range(50)]
