"""Checks of what saved dataclasses hold: each raises ValueError, which loading turns into an error of the model's file.

They are for what `load` may be given by anyone, so that what passes them predicts without a NaN, an overflow or a read
beyond an array; what training makes passes all of them.
"""

from collections.abc import Collection, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

# No logit is larger, nor what it is the sum of: in float32, ten of its kind multiplied by a million do not overflow.
LARGEST_LOGIT = 1e20
# Nor any weight of a linear model: features are at most 100.
LARGEST_WEIGHT = 1e9
# Rounding of the sum of shares stays well below.
_SUM_TOLERANCE = 1e-6


def check_bounded(name: str, values: npt.NDArray[Any], largest: float) -> None:
    """Check that all values are finite and none is larger, on either side of zero."""
    # Written so that NaN fails.
    if not (values.max(initial=0) <= largest and values.min(initial=0) >= -largest):
        raise ValueError(f"{name} must be finite and within {largest:g} of zero")


def check_number(name: str, value: float, least: float, most: float) -> None:
    """Check that a number is within bounds, both included."""
    if not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, which is not from {least:g} to {most:g}")


def check_distinct(name: str, values: Collection[Hashable]) -> None:
    """Check that no value comes twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"{name} must be distinct")


def check_shares(name: str, shares: npt.NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """Check that an array of a shape has shares along its last axis: none below zero, and with a sum of one."""
    if shares.shape != shape:
        raise ValueError(f"the shape {shares.shape} of {name} is not {shape}")
    if not (shares.min(initial=0) >= 0 and (np.abs(shares.sum(axis=-1) - 1) <= _SUM_TOLERANCE).all()):
        raise ValueError(f"{name} must be shares of the classes that sum to one")


def check_cardinalities(cardinalities: tuple[int, ...], most: int) -> None:
    """Check that numbers of codes are above zero, and no more than `most` together."""
    if min(cardinalities, default=1) < 1 or sum(cardinalities) > most:
        raise ValueError(f"numbers of codes {cardinalities} must be above zero, and {most} or less together")
