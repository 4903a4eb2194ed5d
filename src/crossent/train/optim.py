"""The optimiser AdamW, and a schedule of the learning rate.

**Shape.** ``P`` parameters in one vector: values, gradients and the running means of gradients and of their squares are
``(P,)``. The paper calls the running means m and v, and the shares that they keep beta_1 and beta_2.
"""

import functools
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol, final

import torch
from torch import Tensor

from crossent.kernels import adamw
from crossent.kernels.adamw import Factors
from crossent.kernels.problem import can_run_native
from crossent.train.parameters import FlatParameters

# A function from the number of steps so far to the learning rate of the next step.
Schedule = Callable[[int], float]

# Shares of all steps that the learning rate rises for.
WARM_UP = 0.05
# The shares that the running means of gradients and of their squares keep in each step.
BETAS = (0.9, 0.99)
# Keeps a gradient that was always zero from being divided by zero.
EPSILON = 1e-8


class Optimizer(Protocol):
    """Steps against the gradient of the parameters that it was made for."""

    @abstractmethod
    def step(self, learning_rate: float, step: int) -> None:
        """Change the parameters in a step that is counted from 1."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return the state of the optimiser, without a copy."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state that `state` returned."""


@final
class AdamW:
    """AdamW with weight decay on weights only: a bias, scale or frequency is not better for being small.

    The AdamW of torch would take several calls in place of one pass, and import torch's compiler, which takes longer
    than many trainings.

    Parameters
    ----------
    parameters
        Of a network.
    weight_decay
        The share that a weight loses in a step is this times the learning rate.

    Notes
    -----
    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".

    Examples
    --------
    >>> parameters = FlatParameters(torch.nn.Linear(1, 1, bias=False))
    >>> _ = parameters.values.fill_(2.0), parameters.gradient.fill_(0.3)
    >>> AdamW(parameters, weight_decay=0.5).step(0.1, 1)
    >>> parameters.values
    tensor([1.8000])
    """

    def __init__(self, parameters: FlatParameters, *, weight_decay: float) -> None:
        self._parameters, self._weight_decay = parameters, weight_decay
        self._mean, self._square = torch.zeros_like(parameters.values), torch.zeros_like(parameters.values)
        self._step = adamw.step if can_run_native(parameters.values) else _plain_step

    def step(self, learning_rate: float, step: int) -> None:
        """Change the parameters in a step that is counted from 1."""
        # At the start the running means are too small by these factors.
        of_mean, of_square = (1 - beta**step for beta in BETAS)
        factors = Factors(
            rate=learning_rate / of_mean,
            kept=1 - learning_rate * self._weight_decay,
            mean_share=1 - BETAS[0],
            square_share=1 - BETAS[1],
            square_scale=of_square**-0.5,
            epsilon=EPSILON,
        )
        parameters = self._parameters
        self._step(parameters.values, parameters.gradient, self._mean, self._square, parameters.decaying, factors)

    def state(self) -> dict[str, Tensor]:
        """Return the state of the optimiser, without a copy."""
        return {"mean": self._mean, "square": self._square}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state that `state` returned."""
        self._mean.copy_(state["mean"])
        self._square.copy_(state["square"])


def _plain_step(
    values: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, decaying: int, factors: Factors
) -> None:
    """Do what the kernel does, by torch, on any device and of any dtype."""
    mean.lerp_(gradient, factors.mean_share)
    square.lerp_(gradient.square(), factors.square_share)
    values[:decaying] *= factors.kept
    values.addcdiv_(mean, square.sqrt().mul_(factors.square_scale).add_(factors.epsilon), value=-factors.rate)


def warm_up_and_cosine(highest: float, steps: int) -> Schedule:
    """Return a schedule of this number of steps: `cosine_share` of the highest learning rate."""
    return functools.partial(_cosine_rate, highest=highest, steps=steps)


def _cosine_rate(step: int, *, highest: float, steps: int) -> float:
    return highest * cosine_share(step, steps)


def cosine_share(step: int, steps: int) -> float:
    """Return the share of the highest learning rate in a step, counted from 0: a straight rise, then half a cosine.

    Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts".

    Examples
    --------
    >>> [round(cosine_share(step, 100), 2) for step in (0, 4, 50, 99)]
    [0.2, 1.0, 0.53, 0.0]
    """
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * (step - rising + 1) / (steps - rising + 1))
