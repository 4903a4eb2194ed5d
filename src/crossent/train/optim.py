"""What the loop steps by: AdamW, and a schedule of the learning rate."""

import functools
import math

import torch

from crossent.train.parameters import FlatParameters

# Shares of all steps that the learning rate rises for.
WARM_UP = 0.05
BETAS = (0.9, 0.99)


def adamw(parameters: FlatParameters, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW with weight decay on weights only: a bias, scale or frequency is not better for being small.

    Parameters
    ----------
    parameters
        Of a network.
    learning_rate
        Its peak, which the schedule multiplies.
    weight_decay
        Share of itself that a weight loses in a step, times the learning rate.

    Notes
    -----
    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".

    Examples
    --------
    >>> optimizer = adamw(FlatParameters(torch.nn.Linear(3, 2)), learning_rate=0.1, weight_decay=0.5)
    >>> [(group["weight_decay"], group["params"][0].shape) for group in optimizer.param_groups]
    [(0.5, torch.Size([6])), (0.0, torch.Size([2]))]
    """
    decaying = {"params": [parameters.weights], "weight_decay": weight_decay}
    others = {"params": [parameters.others], "weight_decay": 0.0}
    # One pass over all parameters a step: small networks would spend more time on calls than on numbers.
    return torch.optim.AdamW([decaying, others], lr=learning_rate, betas=BETAS, fused=True)


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
