"""Plain gradient descent, whose steps are easily worked out by hand."""

from collections.abc import Mapping
from typing import final

from torch import Tensor

from crossent.train.optim import Optimizer
from crossent.train.parameters import FlatParameters


@final
class PlainDescent(Optimizer):
    """Goes down the gradient by the learning rate; keeps nothing."""

    def __init__(self, parameters: FlatParameters) -> None:
        self._parameters = parameters

    def step(self, learning_rate: float, step: int) -> None:  # noqa: ARG002 - each is as the first
        self._parameters.values.sub_(self._parameters.gradient, alpha=learning_rate)

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        assert not state
