import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from crossent.losses.cross_entropy import cross_entropy
from crossent.monitoring.records import ignore_epoch
from crossent.train.batches import Batches
from crossent.train.dropout import DropoutDraws, drop
from crossent.train.learning_rate import (
    DIVERGED,
    HIGHEST,
    LOWEST,
    SMOOTHING,
    LearningRateCurve,
    find_learning_rate,
    running_mean,
)
from crossent.train.loop import Stopping, fit_network
from crossent.train.optim import AdamW, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import one_process
from crossent.train.training import Training
from tests.train.plain_descent import PlainDescent

# So low that no suggestion is near it.
USUAL, STEPS = 0.000123, 1000


def draw(rows: int = 600, *, noise: bool = False) -> Batches:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows, 4)).astype(np.float32)
    logits = features @ rng.normal(size=(4, 3)) * (0 if noise else 3)
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return Batches((torch.from_numpy(features),), torch.from_numpy(target), 32, torch.Generator().manual_seed(0))


def start(scale: float = 0.0, inputs: int = 4) -> nn.Linear:
    network = nn.Linear(inputs, 3)
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, scale)
    return network


def find(network: nn.Module, batches: Batches, *, steps: int = STEPS, usual: float = USUAL) -> LearningRateCurve:
    optimizer = functools.partial(AdamW, weight_decay=0.1)
    return find_learning_rate(network, batches, loss=cross_entropy, optimizer=optimizer, steps=steps, usual=usual)


def test_running_mean_is_that_of_pandas() -> None:
    losses = np.random.default_rng(0).normal(size=50)
    expected = pd.Series(losses).ewm(alpha=1 - SMOOTHING, adjust=True).mean()
    np.testing.assert_allclose(running_mean(losses), expected, rtol=1e-12)


def find_on_parabola(curvature: float, rows: Tensor, size: int, *, steps: int) -> LearningRateCurve:
    """Descend to the mean of the rows: a loss of the given curvature, whose gradient is too short to be cut."""
    network = nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(network.weight, 0.5 / curvature)
    inputs = (torch.stack([torch.ones_like(rows), rows], dim=1),)
    batches = Batches(inputs, torch.zeros(len(rows)).long(), size, torch.Generator().manual_seed(0))
    apart = Apart(network)

    def loss(distance: Tensor, _target: Tensor) -> Tensor:
        return curvature / 2 * distance.square().mean()

    return find_learning_rate(apart, batches, loss=loss, optimizer=PlainDescent, steps=steps, usual=USUAL)


class Apart(nn.Module):
    """How far what a network makes of the first column is from the second."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        distance: Tensor = self.network(inputs[:, :1]) - inputs[:, 1:]
        return distance


@pytest.mark.parametrize("curvature", [2.0, 100.0])
def test_descent_on_a_parabola_falls_up_to_two_by_its_curvature_and_then_rises(curvature: float) -> None:
    # A step multiplies the distance to the bottom by 1 - rate * curvature: nearer as long as that is above -1.
    curve = find_on_parabola(curvature, torch.zeros(8).double(), 8, steps=STEPS)
    stable = 2 / curvature
    np.testing.assert_array_equal(np.diff(curve.losses) < 0, curve.rates[:-1] < stable)
    assert curve.rates[0] == LOWEST
    assert stable < curve.rates[-1] < HIGHEST


@pytest.mark.parametrize("curvature", [2.0, 100.0])
def test_the_rate_of_lowest_loss_is_near_the_highest_stable_one_where_batches_differ(curvature: float) -> None:
    rows = torch.randn(64, generator=torch.Generator().manual_seed(1)).double() * 0.05 / curvature
    curve = find_on_parabola(curvature, rows, 4, steps=1)
    stable = 2 / curvature
    assert stable / 8 < curve.suggested < 1.5 * stable


def test_training_with_the_suggestion_gains_most_of_what_there_is_to_gain() -> None:
    batches = draw()
    suggested = find(start(), batches, steps=5 * len(batches)).suggested
    before, least = (mean_loss(network, batches) for network in (start(), optimum(batches)))
    gained, gained_by_less = (
        (before - mean_loss(train(batches, rate), batches)) / (before - least) for rate in (suggested, suggested / 100)
    )
    assert gained > 0.9
    assert gained_by_less < 0.5


def mean_loss(network: nn.Module, batches: Batches) -> float:
    return float(cross_entropy(network(*batches.inputs), batches.target).detach())


def train(batches: Batches, rate: float) -> nn.Module:
    network = start()
    parameters = FlatParameters(network)
    training = Training(
        parameters,
        batches,
        loss=cross_entropy,
        optimizer=AdamW(parameters, weight_decay=0.0),
        schedule=warm_up_and_cosine(rate, 5 * len(batches)),
        generators=(),
        accumulation=1,
        processes=one_process(),
    )
    fit_network(training, None, stopping=Stopping(5, 5), on_epoch=ignore_epoch, name="linear")
    return network


def optimum(batches: Batches) -> nn.Module:
    """Descend by another method until nothing is left to gain."""
    network = start()
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=200)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(network(*batches.inputs), batches.target)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch has no types here
    return network


class WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = start(0.1), start(0.2, inputs=3)

    def forward(self, rows: Tensor, draws: Tensor) -> Tensor:
        logits = self.last(drop(self.first(rows)[None], draws, 0.5)[0])
        assert isinstance(logits, Tensor)
        return logits


def test_network_batches_and_generators_stay_as_they_were_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(1)
    network = WithDropout().eval()
    batches = dataclasses.replace(draw(), augments=(DropoutDraws(1, 3, generator),))
    list(batches.epoch())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    states = [one.get_state() for one in (generator, batches.generator, torch.default_generator)]
    first = find(network, batches)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    after = [one.get_state() for one in (generator, batches.generator, torch.default_generator)]
    assert all(torch.equal(one, other) for one, other in zip(states, after, strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training
    second = find(network, batches)
    assert first.losses.tobytes() == second.losses.tobytes()
    assert first.suggested == second.suggested


def test_ends_when_the_loss_diverges() -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    for parameter in network.parameters():
        parameter.detach().normal_(0, 0.3, generator=generator)
    curve = find(network, draw())
    assert curve.rates[-1] < HIGHEST
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed)
    assert curve.smoothed[-1] > curve.smoothed.min() * DIVERGED
    assert np.isfinite(curve.losses).all()
    assert f"suggests {curve.suggested:.2g}, in place of" in curve.why


def test_four_times_the_steps_take_half_the_rate_and_few_the_rate_of_lowest_loss() -> None:
    curves = [find(start(), draw(), steps=steps) for steps in (1, 50, 200, 800)]
    lowest = curves[0].rates[curves[0].smoothed.argmin()]
    np.testing.assert_allclose([curve.suggested / lowest for curve in curves], [1, 1, 1 / 2, 1 / 4])


@pytest.mark.parametrize(("factor", "kept"), [(0.15, False), (0.25, True), (4.0, True), (7.0, False)])
def test_the_usual_rate_gives_way_to_one_far_from_it_only(factor: float, kept: bool) -> None:
    suggested = find(start(), draw()).suggested
    usual = suggested * factor
    curve = find(start(), draw(), usual=usual)
    assert curve.suggested == (usual if kept else suggested)
    assert ("too near to the usual" in curve.why) == kept


def test_where_there_is_nothing_to_learn_the_usual_rate_stays() -> None:
    curve = find(start(), draw(noise=True))
    assert curve.suggested == USUAL
    assert "the usual 0.000123" in curve.why


def test_where_the_loss_is_not_finite_the_usual_rate_stays() -> None:
    curve = find(start(float("inf")), draw())
    assert len(curve.rates) == 0
    assert curve.suggested == USUAL
