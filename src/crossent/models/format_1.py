"""Fitted models as format 1 of saved models holds them.

**Shape.** ``d`` features, ``K`` classes: weights ``(d, K)`` and biases ``(K,)``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kinds.blocks import Widths
from crossent.models.boosting import FittedBoosting
from crossent.models.linear import FittedLinear
from crossent.models.network import FittedNetwork


@dataclass(frozen=True, eq=False)
class FittedSoftmaxRegression:
    """A `FittedLinear` of dense rows."""

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    cardinalities: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FittedTextRegression:
    """A `FittedLinear` of rows with n-grams."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    cardinalities: tuple[int, ...]
    C: float


AnyFormer = FittedSoftmaxRegression | FittedBoosting | FittedNetwork | FittedTextRegression


def of_format_1(former: AnyFormer, widths: Widths) -> FittedLinear | FittedBoosting | FittedNetwork:
    """Return what a model of format 1 is now.

    Parameters
    ----------
    former
        The model.
    widths
        Of the features that its encoder writes.

    Raises
    ------
    ValueError
        If its arrays do not fit each other.
    """
    if isinstance(former, FittedBoosting | FittedNetwork):
        return former
    strength = former.C if isinstance(former, FittedTextRegression) else None
    weight, bias = former.weight.astype(np.float32), former.bias.astype(np.float32)
    return FittedLinear(weight, bias, widths.numbers, former.cardinalities, strength)
