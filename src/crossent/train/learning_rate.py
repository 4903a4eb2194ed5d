"""The learning rate finder: a short training whose rate rises from step to step, until the loss rises too.

**Shape.** A search of ``s`` steps gives learning rates, losses and smoothed losses, each ``(s,)``.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.signal
import torch
from torch import nn

from crossent.train.batches import Batch, Batches
from crossent.train.optim import Optimizer
from crossent.train.parameters import FlatParameters
from crossent.train.training import LONGEST_GRADIENT, Loss

# The rates that are tried, one a step.
LOWEST, HIGHEST, STEPS = 1e-5, 10.0, 181
# The running mean of the loss forgets a step by this factor.
SMOOTHING = 0.9
# Steps whose mean is the loss at the start: their rates are too low to change it.
FIRST_STEPS = 10
# The test ends when the smoothed loss is this many times its lowest.
DIVERGED = 4.0
# A training of this number of steps can take the rate of lowest loss.
FEW_STEPS = 50
# A rate within this factor of the usual one is not surely better.
LEAST_FACTOR = 5.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """What the finder saw, and the rate that it suggests.

    Attributes
    ----------
    rates
        ``(s,)`` learning rates, rising, one a step.
    losses
        ``(s,)`` loss of each batch before its step, in nats.
    smoothed
        ``(s,)`` running mean of the losses.
    usual
        The rate to take where the losses do not speak against it.
    suggested
        The rate to train with.
    why
        What the suggestion rests on, in words.
    """

    rates: Array
    losses: Array
    smoothed: Array
    usual: float
    suggested: float
    why: str


def find_learning_rate(
    network: nn.Module,
    batches: Batches,
    *,
    loss: Loss,
    optimizer: Callable[[FlatParameters], Optimizer],
    steps: int,
    usual: float,
) -> LearningRateCurve:
    """Train a copy of a network for a few steps with a rising learning rate, and suggest one by how its loss falls.

    The rate at which the smoothed loss is lowest is the highest that still learns. A short training needs about that
    rate; of two longer ones, the one of four times as many steps takes half the rate, for it can go as far in finer
    steps. Where this is within a factor of five of the usual rate, the usual one is suggested: the test is noisy. The
    network, the batches and their generators stay as they are.

    Parameters
    ----------
    network
        As it is before training.
    batches
        Training rows.
    loss
        From the logits and the target to a scalar.
    optimizer
        Makes the optimizer of the parameters of a network.
    steps
        Of the training that the rate is for.
    usual
        The rate to suggest where nothing speaks against it.

    Notes
    -----
    Source of the test: Smith 2017, "Cyclical Learning Rates for Training Neural Networks". The rule is our own; common
    ones know nothing of the number of steps, and harm short trainings.

    Examples
    --------
    >>> from crossent.train.optim import AdamW
    >>> generator = torch.Generator().manual_seed(0)
    >>> inputs = torch.linspace(-1, 1, 64)[:, None]
    >>> batches = Batches((inputs,), (inputs[:, 0] > 0).long(), 16, generator)
    >>> adamw = lambda one: AdamW(one, weight_decay=0.0)
    >>> network = nn.Linear(1, 2)
    >>> for parameter in network.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> loss = nn.functional.cross_entropy
    >>> curve = find_learning_rate(network, batches, loss=loss, optimizer=adamw, steps=20, usual=1e-5)
    >>> 0.1 < curve.suggested < 10
    True
    """
    # The rows are only read; what is drawn from is copied, all at once because it may be shared.
    copied, augments, generator = copy.deepcopy((network, batches.augments, batches.generator))
    copied_batches = dataclasses.replace(batches, generator=generator, augments=augments)
    parameters = FlatParameters(copied)
    losses = _train(parameters, copied_batches, loss, optimizer(parameters))
    rates = _rates()[: len(losses)]
    smoothed = running_mean(losses)
    suggested, why = _suggest(rates, losses, smoothed, steps, usual)
    return LearningRateCurve(rates, losses, smoothed, usual, suggested, why)


def running_mean(losses: Array) -> Array:
    """Return the exponential moving average of ``(s,)`` losses, without the pull of a start at zero.

    Source: Kingma and Ba 2015, "Adam", section 3, on the correction of such averages.

    Examples
    --------
    >>> running_mean(np.array([2.0, 2.0, 1.0])).round(2)
    array([2.  , 2.  , 1.63])
    """
    average = scipy.signal.lfilter([1 - SMOOTHING], [1, -SMOOTHING], losses)
    return np.asarray(average / (1 - SMOOTHING ** np.arange(1, len(losses) + 1)), dtype=np.float64)


def _rates() -> Array:
    return np.geomspace(LOWEST, HIGHEST, STEPS)


def _train(parameters: FlatParameters, batches: Batches, loss: Loss, optimizer: Optimizer) -> Array:
    """Step with a rate that rises until the loss diverges; return the loss before each step."""
    network = parameters.network.train()
    losses: list[float] = []
    for step, (rate, (inputs, target)) in enumerate(zip(_rates(), _endless(batches), strict=False), start=1):
        value = loss(network(*inputs), target)
        if not torch.isfinite(value):
            break
        losses.append(float(value.detach()))
        if _diverged(losses):
            break
        parameters.gradient.zero_()
        value.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        parameters.shorten_gradient(parameters.gradient.norm(), LONGEST_GRADIENT)
        optimizer.step(float(rate), step)
    return np.array(losses)


def _endless(batches: Batches) -> Iterator[Batch]:
    while True:
        yield from batches.epoch()


def _diverged(losses: list[float]) -> bool:
    smoothed = running_mean(np.array(losses))
    return len(losses) > FIRST_STEPS and bool(smoothed[-1] > DIVERGED * smoothed.min())


def _suggest(rates: Array, losses: Array, smoothed: Array, steps: int, usual: float) -> tuple[float, str]:
    """Return the rate for a training of this number of steps, and the reason in words."""
    if len(losses) <= FIRST_STEPS:
        return usual, f"The loss diverged at once, so that it is the usual {usual:g}."
    lowest = int(smoothed.argmin())
    start, end = float(losses[:FIRST_STEPS].mean()), float(smoothed[lowest])
    # Batches differ by their rows alone; differences of neighbours leave out what the training does.
    if start - end <= np.diff(losses[: lowest + 1]).std() / math.sqrt(2):
        return usual, f"At no rate did the loss fall by more than batches differ, so that it is the usual {usual:g}."
    fitting = float(rates[lowest] / math.sqrt(max(steps / FEW_STEPS, 1.0)))
    found = (
        f"As the rate rose, the loss fell from {start:.3f} to {end:.3f} at a rate of {rates[lowest]:.2g}; for a"
        f" training of {steps:,} steps that suggests {fitting:.2g}"
    )
    if usual / LEAST_FACTOR <= fitting <= usual * LEAST_FACTOR:
        return usual, f"{found}, too near the usual {usual:g} to be surely better."
    return fitting, f"{found}, in place of the usual {usual:g}."
