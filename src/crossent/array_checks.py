"""Checks of NumPy logits, probabilities and class indices at public boundaries, each with one clear error."""

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.errors import ShapeError

Scores = npt.NDArray[np.floating[Any]]
# Larger than the rounding error in the sum of 1,000 float32 probabilities.
_SUM_TOLERANCE = 1e-3
# Of the weight of a row: sums and squares of a billion of them stay far within float64.
LEAST_WEIGHT, LARGEST_WEIGHT = 1e-9, 1e9


def check_logits_array(name: str, logits: npt.NDArray[Any]) -> None:
    """Check an array of logits.

    Raises
    ------
    ShapeError
        Unless it holds finite real numbers and has the shape ``(n, K)`` with K of 2 or more. The error names the first
        value that is not finite.
    """
    _check_matrix(name, logits)
    # The sum of a row is finite only if all of its values are, so no array of flags is needed.
    sums = logits.sum(axis=1, dtype=np.float64)
    if not np.isfinite(sums).all():
        row = int(np.argmin(np.isfinite(sums)))
        column = int(np.argmin(np.isfinite(logits[row])))
        raise ShapeError(
            f"{name}: all values are finite.",
            f"Row {row} holds {logits[row, column]} for class {column}.",
            "Clip probabilities at about 1e-6 before you take their log; find out where a NaN came from.",
        )


def check_probs_array(name: str, probs: Scores) -> None:
    """Check an array of probabilities.

    Raises
    ------
    ShapeError
        Unless it is floating, has the shape ``(n, K)`` with K of 2 or more, and each row has values from 0 to 1 that
        sum to 1. The error names the first row that does not.
    """
    _check_matrix(name, probs)
    sums = probs.sum(axis=1, dtype=np.float64)
    # Written so that NaN counts as bad, too.
    good = (probs >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUM_TOLERANCE)
    if not good.all():
        row = int(good.argmin())
        raise ShapeError(
            f"{name}: each row holds values from 0 to 1 that sum to 1.",
            f"Row {row} is {probs[row]}, which sums to {sums[row]:.6g}.",
            "Are these logits? Take ce.softmax of them first.",
        )


def check_target_array(name: str, target: npt.NDArray[Any], rows: int, class_count: int) -> None:
    """Check an array of class indices.

    Raises
    ------
    ShapeError
        Unless it holds a whole number from 0 to K - 1 for each row, and there is at least one row. The error names the
        first number outside.
    """
    if target.shape != (rows,) or not rows:
        raise ShapeError(
            f"{name} holds the class index of each of the {rows} rows, and there is at least one row.",
            f"Its shape is {target.shape}.",
            "Give one class index for each row.",
        )
    if target.dtype.kind not in "iu":
        raise ShapeError(
            f"{name} holds class indices: whole numbers from 0.",
            f"They are {target.dtype}, beginning with {target[:3].tolist()}.",
            "Map each label to the column of its class.",
        )
    outside = (target < 0) | (target >= class_count)
    if outside.any():
        row = int(outside.argmax())
        raise ShapeError(
            f"{name}: class indices of {class_count} columns run from 0 to {class_count - 1}.",
            f"Row {row} holds {target[row]}.",
            "Do they count from 1? Subtract 1." if target[row] == class_count else "Map the labels to these first.",
        )


def weight_array(name: str, values: Any, rows: int) -> npt.NDArray[np.float64]:
    """Return the weights of rows as ``(n,)`` float64, from an array, a list or a series of numbers.

    Raises
    ------
    ShapeError
        Unless there is one number for each row, 0 or from 1e-9 to 1e9, and one is above 0; it names the first that is
        not. Dates, durations, texts and masked values are no numbers.

    Examples
    --------
    >>> weight_array("sample_weight", [1, 0, 2.5], 3)
    array([1. , 0. , 2.5])
    """
    given = np.asarray(values)
    if given.dtype == object:
        with contextlib.suppress(TypeError, ValueError):
            given = given.astype(np.float64)
    if given.shape != (rows,) or given.dtype.kind not in "fiub" or isinstance(values, np.ma.MaskedArray):
        raise ShapeError(
            f"{name} holds a number for each of the {rows} rows.",
            f"It is {'masked' if isinstance(values, np.ma.MaskedArray) else given.dtype} of shape {given.shape}.",
            "Give one weight for each row, or leave it out.",
        )
    weight = given.astype(np.float64)
    # Written so that NaN is bad too.
    good = (weight == 0) | ((weight >= LEAST_WEIGHT) & (weight <= LARGEST_WEIGHT))
    if not good.all():
        row = int(good.argmin())
        raise ShapeError(
            f"{name}: a weight is 0, or from {LEAST_WEIGHT:g} to {LARGEST_WEIGHT:g}.",
            f"Row {row} has {weight[row]}.",
            "Leave such rows out, or divide all weights by their mean.",
        )
    if not weight.any():
        raise ShapeError(f"{name}: a row with a weight above 0 is needed.", "All are zero.", "Give other weights.")
    return weight


def _check_matrix(name: str, values: npt.NDArray[Any]) -> None:
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "fiu":
        raise ShapeError(
            f"{name} is an array of real numbers of shape (n, K), with a column for each of 2 or more classes.",
            f"It is {values.dtype} of shape {values.shape}.",
            "If it has one score for each row of two classes, put a column of zeros before it.",
        )
