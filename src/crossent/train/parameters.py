"""The parameters of a network as one vector and their gradients as another, so that a step takes few calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

# The average forgets a step by this factor each step; at first faster, so that it does not remember the start.
DECAY, YOUNG_STEPS = 0.99, 10
# Keeps a gradient of length zero from being divided by it.
SHORTEST_GRADIENT = 1e-6


@final
class FlatParameters:
    """Moves the parameters of a network that learn into one vector, of which each becomes a view.

    A small network would else spend more time on calls, one a parameter, than on numbers.

    Parameters
    ----------
    network
        Changed in place: where its parameters lie, not what they are. All that learn have one dtype and device.

    Attributes
    ----------
    network
        The one given.
    values, gradient
        ``(P,)``, weights first. Backward passes add to the gradient.
    decaying
        How many of the values are of weights: these are multiplied with what comes in, the others are added to it.

    Raises
    ------
    ValueError
        If no parameter learns.

    Examples
    --------
    >>> parameters = FlatParameters(nn.Linear(3, 2))
    >>> parameters.decaying
    6
    >>> parameters.values.zero_()
    tensor([0., 0., 0., 0., 0., 0., 0., 0.])
    >>> parameters.network.bias
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        learning = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
        if not learning:
            raise ValueError("a network without parameters that learn cannot be trained")
        weights = [one for name, one in learning if is_weight(name)]
        ordered = [*weights, *(one for name, one in learning if not is_weight(name))]
        sizes = [one.numel() for one in ordered]
        self.values = torch.cat([one.detach().flatten() for one in ordered])
        self.gradient = torch.zeros_like(self.values)
        parts = torch.split(self.values, sizes), torch.split(self.gradient, sizes)
        for one, values, gradient in zip(ordered, *parts, strict=True):
            one.data = values.view_as(one)
            one.grad = gradient.view_as(one)
        self.decaying = sum(one.numel() for one in weights)
        # Of a network without weights, the first and the last of what it has.
        ends = (weights or ordered)[0], (weights or ordered)[-1]
        self._end_gradients = [one.grad for one in ends if one.grad is not None]
        self._scales = self.values.new_tensor([1.0, *(one.numel() ** -0.5 for one in ends)])

    def gradient_lengths(self) -> Tensor:
        """Return the length of the gradient, and those of the first and the last weight by the root of their size."""
        lengths = torch.stack([one.norm() for one in (self.gradient, *self._end_gradients)])
        return lengths.mul_(self._scales)

    def shorten_gradient(self, length: Tensor, longest: float) -> None:
        """Multiply a gradient of this length so that it is no longer than the longest."""
        # To ask is free on the CPU, and saves a pass; elsewhere it would wait for the device.
        if length.device.type != "cpu" or float(length) > longest:
            self.gradient.mul_((longest / (length + SHORTEST_GRADIENT)).clamp(max=1))


def is_weight(name: str) -> bool:
    """Say whether a parameter of this name is multiplied with what comes in, and not added to it.

    Examples
    --------
    >>> [is_weight(name) for name in ("weight", "layers.0.weight", "layers.0.bias")]
    [True, True, False]
    """
    return name.rsplit(".", maxsplit=1)[-1] == "weight"


@final
class ParameterAverage:
    """The exponential moving average of parameters; a network mostly predicts better with it than with the last ones.

    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".

    Parameters
    ----------
    parameters
        ``(P,)``, changed by others from step to step.
    """

    def __init__(self, parameters: Tensor) -> None:
        self._parameters = parameters
        self.values = parameters.clone()
        self.steps = 0

    def update(self) -> None:
        """Move towards the parameters as they are now."""
        self.steps += 1
        self.values.lerp_(self._parameters, 1 - min(DECAY, self.steps / (self.steps + YOUNG_STEPS)))

    def restore(self, values: Tensor, steps: int) -> None:
        """Put the average where it was after so many steps."""
        self.values.copy_(values)
        self.steps = steps

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the parameters' place, and the parameters back at the end."""
        trained = self._parameters.clone()
        self._parameters.copy_(self.values)
        try:
            yield
        finally:
            self._parameters.copy_(trained)
