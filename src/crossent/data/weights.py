"""Weights of rows: how many rows each row counts as."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.array_checks import LARGEST_WEIGHT, LEAST_WEIGHT
from crossent.data.cells import plain_series
from crossent.errors import DataError
from crossent.names import shortened

FloatArray = npt.NDArray[np.float64]
# If the mean weight differs from one by more than this factor, the weights may be shares or something else.
UNUSUAL_FACTOR = 10.0
# Larger than the rounding error in a sum of float32 shares.
SHARES_TOLERANCE = 1e-5


def read_weights(values: "pd.Series[Any]") -> tuple[FloatArray, list[str]]:
    """Return the weights in a column, ``(n,)`` float64, and notes for people.

    Parameters
    ----------
    values
        Numbers, or texts of numbers.

    Raises
    ------
    DataError
        If a weight is missing, negative or not finite, or all are 0.

    Examples
    --------
    >>> weight, notes = read_weights(pd.Series(["1", "2.5", "0"], name="w"))
    >>> weight
    array([1. , 2.5, 0. ])
    >>> notes
    ["1 row has weight 0 in 'w' and is left out.", "2 rows count by their weight in 'w', 3.5 in all."]
    """
    numbers = values if pd.api.types.is_bool_dtype(values.dtype) else plain_series(values)
    weight = pd.to_numeric(numbers, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    # Written so that NaN is bad too.
    good = (weight == 0) | ((weight >= LEAST_WEIGHT) & (weight <= LARGEST_WEIGHT))
    if not good.all():
        row = int(good.argmin())
        raise DataError(
            f"A weight is 0, or a number from {LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}, in every row.",
            f"Column {values.name!r} holds {shortened(str(values.iloc[row]))} in row {values.index[row] + 1}.",
            "Correct it, give 0 to leave the row out, or divide all weights by their mean.",
        )
    if not weight.any():
        raise DataError("A row with a weight above 0 is needed.", f"All in {values.name!r} are 0.", "Give others.")
    notes = []
    if absent := int((weight == 0).sum()):
        rows = "1 row has" if absent == 1 else f"{absent:,} rows have"
        notes.append(f"{rows} weight 0 in {values.name!r} and {'is' if absent == 1 else 'are'} left out.")
    weight, shares = from_shares(weight)
    counted = weight[weight > 0]
    usual = f"{len(counted):,} rows count by their weight in {values.name!r}, {counted.sum():,.6g} in all."
    return weight, [*notes, *(shares or unusual_weights(counted) or [usual])]


def weights_that_differ(weight: FloatArray) -> FloatArray | None:
    """Return the weights, or None if all are 1 and so have no effect."""
    return None if (weight == 1).all() else weight


def from_shares(weight: FloatArray) -> tuple[FloatArray, list[str]]:
    """Return weights that sum to 1, the shares of the rows, as numbers of rows, with a note; others unchanged.

    Examples
    --------
    >>> weight, notes = from_shares(np.array([0.25, 0.75, 0.0]))
    >>> weight
    array([0.5, 1.5, 0. ])
    >>> notes
    ['The weights sum to 1, so they are read as the shares of the 2 rows.']
    """
    rows = int((weight > 0).sum())
    if rows < 2 or not abs(weight.sum() - 1) <= SHARES_TOLERANCE:
        return weight, []
    return weight * rows, [f"The weights sum to 1, so they are read as the shares of the {rows:,} rows."]


def unusual_weights(weight: FloatArray) -> list[str]:
    """Return a note if the weights may be something else than numbers of rows.

    Examples
    --------
    >>> for note in unusual_weights(np.full(1000, 0.005)):
    ...     print(note)
    1,000 rows have a total weight of 5: each counts as 0.005 rows. If the weights are shares, multiply them by 200.
    """
    mean = float(weight.mean())
    if 1 / UNUSUAL_FACTOR <= mean <= UNUSUAL_FACTOR:
        return []
    total = f"{len(weight):,} rows have a total weight of {weight.sum():,.3g}: each counts as {mean:,.3g} rows."
    if mean < 1:
        return [f"{total} If the weights are shares, multiply them by {1 / mean:,.6g}."]
    return [f"{total} If there are no more rows than these, divide the weights by {mean:,.6g}."]
