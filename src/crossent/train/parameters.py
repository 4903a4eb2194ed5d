"""The parameters of a network as one vector and their gradients as another, so that a step takes few calls.

**Shape.** ``P`` parameters that learn: one vector ``(P,)`` of values and one of gradients, of which each parameter is a
view.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

# In each step the average keeps this share of the past; at first less, so that it forgets the start.
DECAY, YOUNG_STEPS = 0.99, 10
# Keeps a gradient of length zero from being divided by zero.
SHORTEST_GRADIENT = 1e-6


@final
class FlatParameters:
    """Moves the parameters of a network that learn into one vector; each parameter becomes a view of it.

    Otherwise a small network would spend more time on calls, one for each parameter, than on computation.

    Parameters
    ----------
    network
        Changed in place: its parameters move in memory, with the same values. All that learn have one dtype and device.
    layers
        The part of it whose first and last weights are measured; None for all. It is better to leave out embeddings,
        because those that a batch does not look up have no gradient.

    Attributes
    ----------
    network
        The given network.
    values, gradient
        ``(P,)``, weights first. Backward passes add to the gradient.
    decaying
        Number of values that belong to weights: weights are multiplied with their input, other parameters are added.

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

    def __init__(self, network: nn.Module, layers: nn.Module | None = None) -> None:
        self.network = network
        weights, others = _learning(network)
        ordered = [*weights, *others]
        if not ordered:
            raise ValueError("a network without parameters that learn cannot be trained")
        sizes = [parameter.numel() for parameter in ordered]
        self.values = torch.cat([parameter.detach().flatten() for parameter in ordered])
        self.gradient = torch.zeros_like(self.values)
        parts = torch.split(self.values, sizes), torch.split(self.gradient, sizes)
        for parameter, values, gradient in zip(ordered, *parts, strict=True):
            parameter.data = values.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)
        self.decaying = sum(parameter.numel() for parameter in weights)
        weights, others = _learning(network if layers is None else layers)
        # If there are no weights, the first and the last parameter.
        ends = (weights or others)[0], (weights or others)[-1]
        self._end_gradients = [parameter.grad for parameter in ends if parameter.grad is not None]
        self._scales = self.values.new_tensor([1.0, *(parameter.numel() ** -0.5 for parameter in ends)])

    def gradient_lengths(self) -> Tensor:
        """Return the length of the gradient, and those of the first and the last weight by the root of their size."""
        lengths = torch.stack([gradient.norm() for gradient in (self.gradient, *self._end_gradients)])
        return lengths.mul_(self._scales)

    def shorten_gradient(self, length: Tensor, longest: float) -> None:
        """Multiply a gradient of this length so that it is no longer than the longest."""
        # Reading the length is free on the CPU, and saves a pass; other devices would have to finish first.
        if length.device.type != "cpu" or float(length) > longest:
            self.gradient.mul_((longest / (length + SHORTEST_GRADIENT)).clamp(max=1))


def _learning(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the weights that learn, and the other parameters, in their order; parameters of size 0 are left out."""
    learning = [
        (name, parameter)
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and parameter.numel()
    ]
    weights = [parameter for name, parameter in learning if is_weight(name)]
    return weights, [parameter for name, parameter in learning if not is_weight(name)]


def is_weight(name: str) -> bool:
    """Say whether a parameter of this name is multiplied with its input, and not added.

    Examples
    --------
    >>> [is_weight(name) for name in ("weight", "layers.0.weight", "layers.0.bias")]
    [True, True, False]
    """
    return name.rsplit(".", maxsplit=1)[-1] == "weight"


@final
class ParameterAverage:
    """The exponential moving average of parameters; it usually predicts better than the last parameters.

    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging".

    Parameters
    ----------
    parameters
        ``(P,)``, changed by others from step to step.
    """

    def __init__(self, parameters: Tensor) -> None:
        self._parameters = parameters
        self.values = parameters.clone()

    def update(self, step: int) -> None:
        """Move towards the parameters as they are after this number of steps."""
        self.values.lerp_(self._parameters, 1 - min(DECAY, step / (step + YOUNG_STEPS)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Use the average in place of the parameters, and the parameters again at the end."""
        trained = self._parameters.clone()
        self._parameters.copy_(self.values)
        try:
            yield
        finally:
            self._parameters.copy_(trained)
