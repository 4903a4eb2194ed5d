"""The learning rate finder: a short training in which the rate rises from step to step, until the loss rises, too.

**Shape.** A search of ``s`` steps gives learning rates, losses and smoothed losses, each ``(s,)``.
"""

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from crossent.train.batches import Batch, Batches
from crossent.train.optim import Optimizer
from crossent.train.parameters import FlatParameters
from crossent.train.training import LONGEST_GRADIENT, Loss

# The rates that are tried, one in each step.
LOWEST, HIGHEST, STEPS = 1e-5, 10.0, 181
# The running mean of the loss forgets a step by this factor.
SMOOTHING = 0.9
# The mean of this number of first steps is the loss at the start, because their rates are too low to change it.
FIRST_STEPS = 10
# The test ends when the smoothed loss is this many times its lowest.
DIVERGED = 4.0
# A training with this number of steps can use the rate of lowest loss.
FEW_STEPS = 50
# A rate within this factor of the usual rate is not surely better.
LEAST_FACTOR = 5.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """The measurements of the finder, and the rate that it suggests.

    Attributes
    ----------
    rates
        ``(s,)`` learning rates, rising, one for each step.
    losses
        ``(s,)`` loss of each batch before its step, in nats.
    smoothed
        ``(s,)`` running mean of the losses.
    usual
        The rate to use unless the losses show that another one is better.
    suggested
        The rate to train with.
    why
        The reason of the suggestion, in words.
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

    The rate at which the smoothed loss is lowest is the highest rate that still learns. A short training needs about
    this rate; a training with four times as many steps uses half of it, because it can go as far in finer steps. If the
    result is within a factor of five of the usual rate, the usual rate is suggested, because the test is noisy. The
    network, the batches and their generators are not changed.

    Parameters
    ----------
    network
        As it is before training.
    batches
        Training rows.
    loss
        Computes a scalar from the logits and the target.
    optimizer
        Makes the optimizer of the parameters of a network.
    steps
        Number of steps of the training for which the rate is.
    usual
        The rate to suggest unless another one is clearly better.

    Notes
    -----
    Source of the test: Smith 2017, "Cyclical Learning Rates for Training Neural Networks". The rule is our own; common
    rules ignore the number of steps, and harm short trainings.

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
    # The rows are only read; the generators are copied, all together because several objects may share one.
    copied, augments, generator = copy.deepcopy((network, batches.augments, batches.generator))
    copied_batches = dataclasses.replace(batches, generator=generator, augments=augments)
    parameters = FlatParameters(copied)
    losses = _train(parameters, copied_batches, loss, optimizer(parameters))
    rates = _rates()[: len(losses)]
    smoothed = running_mean(losses)
    suggested, why = _suggest(rates, losses, smoothed, steps, usual)
    return LearningRateCurve(rates, losses, smoothed, usual, suggested, why)


def running_mean(losses: Array) -> Array:
    """Return the exponential moving average of ``(s,)`` losses, without the bias of a start at zero.

    Source: Kingma and Ba 2015, "Adam", section 3, on the correction of such averages.

    Examples
    --------
    >>> running_mean(np.array([2.0, 2.0, 1.0])).round(2)
    array([2.  , 2.  , 1.63])
    """
    averages = itertools.accumulate(losses, lambda mean, loss: SMOOTHING * mean + (1 - SMOOTHING) * loss, initial=0.0)
    average = np.array(list(averages)[1:])
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
        return usual, f"The loss diverged at once, so the rate is the usual {usual:g}."
    lowest = int(smoothed.argmin())
    start, end = float(losses[:FIRST_STEPS].mean()), float(smoothed[lowest])
    # Batches differ because of their rows; differences of neighbouring steps do not contain the effect of training.
    if start - end <= np.diff(losses[: lowest + 1]).std() / math.sqrt(2):
        return (
            usual,
            f"At no rate did the loss fall by more than batches differ, so the rate is the usual {usual:g}.",
        )
    fitting = float(rates[lowest] / math.sqrt(max(steps / FEW_STEPS, 1.0)))
    reason = (
        f"As the rate rose, the loss fell from {start:.3f} to {end:.3f} at a rate of {rates[lowest]:.2g}; for a"
        f" training of {steps:,} steps that suggests {fitting:.2g}"
    )
    if usual / LEAST_FACTOR <= fitting <= usual * LEAST_FACTOR:
        return usual, f"{reason}, which is too near to the usual {usual:g} to be surely better."
    return fitting, f"{reason}, in place of the usual {usual:g}."
