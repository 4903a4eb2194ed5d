"""Checks of what saved dataclasses hold: each raises ValueError, which loading turns into an error of the model's file.

They are for models that come from anyone. A model that passes them predicts without a NaN, an overflow or a read beyond
an array; every model that training makes passes them.
"""

from collections.abc import Collection, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

# No logit is larger, and no term of its sum: in float32, ten such numbers multiplied by a million do not overflow.
LARGEST_LOGIT = 1e20
# No weight of a linear model is larger; features are at most 100.
LARGEST_WEIGHT = 1e9
# Larger than the rounding error in a sum of shares.
_SUM_TOLERANCE = 1e-6


def check_bounded(name: str, values: npt.NDArray[Any], largest: float) -> None:
    """Check that all values are finite and their absolute values at most `largest`."""
    # Written so that NaN fails.
    if not (values.max(initial=0) <= largest and values.min(initial=0) >= -largest):
        raise ValueError(f"{name} must be finite and within {largest:g} of zero")


def check_number(name: str, value: float, least: float, most: float) -> None:
    """Check that a number is within bounds, both included."""
    if not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, which is not from {least:g} to {most:g}")


def check_distinct(name: str, values: Collection[Hashable]) -> None:
    """Check that all values are distinct."""
    if len(set(values)) < len(values):
        raise ValueError(f"{name} must be distinct")


def check_shares(name: str, shares: npt.NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """Check that an array has this shape and holds shares along its last axis: at least zero, with a sum of one."""
    if shares.shape != shape:
        raise ValueError(f"the shape {shares.shape} of {name} is not {shape}")
    if not (shares.min(initial=0) >= 0 and (np.abs(shares.sum(axis=-1) - 1) <= _SUM_TOLERANCE).all()):
        raise ValueError(f"{name} must be shares of the classes that sum to one")


def check_cardinalities(cardinalities: tuple[int, ...], most: int) -> None:
    """Check that numbers of codes are above zero, and that their sum is at most `most`."""
    if min(cardinalities, default=1) < 1 or sum(cardinalities) > most:
        raise ValueError(f"numbers of codes {cardinalities} must be above zero, and {most} or less together")
