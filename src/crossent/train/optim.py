"""What the loop steps by: AdamW, a schedule of the learning rate, and the running average of the parameters."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Shares of all steps that the learning rate rises for.
WARM_UP = 0.05
BETAS = (0.9, 0.99)
# The average forgets a step by this factor each step; at first faster, so that it does not remember the start.
DECAY, YOUNG_STEPS = 0.99, 10


def adamw(network: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices only: a bias, scale or frequency is not better for being small.

    Parameters
    ----------
    network
        Parameters named ``weight``, or ending in ``.weight``, decay.
    learning_rate
        Its peak, which the schedule multiplies.
    weight_decay
        Share of itself that a weight loses in a step, times the learning rate.

    Notes
    -----
    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".

    Examples
    --------
    >>> optimizer = adamw(nn.Linear(3, 2), learning_rate=0.1, weight_decay=0.5)
    >>> [(group["weight_decay"], group["params"][0].shape) for group in optimizer.param_groups]
    [(0.5, torch.Size([2, 3])), (0.0, torch.Size([2]))]
    """
    named = dict(network.named_parameters())
    decaying = [parameter for name, parameter in named.items() if is_weight(name)]
    others = [parameter for name, parameter in named.items() if not is_weight(name)]
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    # One pass over all parameters a step: small networks would spend more time on calls than on numbers.
    return torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, fused=True)


def is_weight(name: str) -> bool:
    """Say whether a parameter of this name is multiplied with what comes in, and not added to it.

    Examples
    --------
    >>> [is_weight(name) for name in ("weight", "layers.0.weight", "layers.0.bias")]
    [True, True, False]
    """
    return name.rsplit(".", maxsplit=1)[-1] == "weight"


def warm_up_and_cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a schedule that multiplies the learning rates by `cosine_share`."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, functools.partial(cosine_share, steps=steps))


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


class ParameterAverage:
    """The exponential moving average of a network's parameters; it mostly predicts better than the last of them.

    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".
    """

    def __init__(self, network: nn.Module) -> None:
        self._parameters = [parameter.detach() for parameter in network.parameters()]
        self.values = [parameter.clone() for parameter in self._parameters]
        self.steps = 0

    def update(self) -> None:
        """Move towards the parameters as they are now."""
        self.steps += 1
        share = 1 - min(DECAY, self.steps / (self.steps + YOUNG_STEPS))
        torch._foreach_lerp_(self.values, self._parameters, share)

    def restore(self, values: list[Tensor], steps: int) -> None:
        """Put the average where it was after so many steps."""
        self.values, self.steps = values, steps

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the network's place, and the parameters back at the end."""
        trained = [parameter.clone() for parameter in self._parameters]
        self._copy(self.values)
        try:
            yield
        finally:
            self._copy(trained)

    def _copy(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.copy_(value)
