"""Checks of what is to be calibrated, each with one clear error."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.errors import ShapeError


def check_logits(logits: npt.NDArray[Any]) -> None:
    """Check logits.

    Raises
    ------
    ShapeError
        Unless they are real, finite and of shape (n, K) with two classes or more.
    """
    if logits.ndim != 2 or logits.dtype.kind not in "fiu":
        raise ShapeError(
            "Logits are an array of real numbers, a row for each row and a column for each class.",
            f"They are {logits.dtype} of shape {logits.shape}.",
            "Give the raw scores of a model, or the logs of its probabilities.",
        )
    if logits.shape[1] < 2:
        raise ShapeError(
            "Calibration needs two classes or more.",
            f"The shape of the logits is {logits.shape}.",
            "With one score a row for two classes, put a column of zeros before it.",
        )
    # The sum of a row is finite only if all of it is: no array of flags is needed.
    sums = logits.sum(axis=1, dtype=np.float64)
    if not np.isfinite(sums).all():
        row = int(np.argmin(np.isfinite(sums)))
        column = int(np.argmin(np.isfinite(logits[row])))
        raise ShapeError(
            "Logits must be finite.",
            f"Row {row} holds {logits[row, column]} for class {column}.",
            "Clip probabilities before their log, at 1e-6 or so; find out where a NaN arose.",
        )


def check_labels(target: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check the labels of logits of shape (n, K).

    Raises
    ------
    ShapeError
        Unless they are whole numbers from 0 to K - 1, one a row.
    """
    if target.shape != shape[:1]:
        raise ShapeError(
            "Calibration needs (n, K) logits and (n,) class indices.",
            f"Their shapes are {shape} and {target.shape}.",
            "Give one label for each row of logits.",
        )
    if target.dtype.kind not in "iu":
        raise ShapeError(
            "Labels are class indices, whole numbers from 0.",
            f"They are {target.dtype}, beginning with {target[:3].tolist()}.",
            "Map each label to the column of its class in the logits.",
        )
    outside = (target < 0) | (target >= shape[1])
    if outside.any():
        row = int(np.argmax(outside))
        raise ShapeError(
            f"Class indices run from 0 to K - 1 = {shape[1] - 1}.",
            f"Row {row} has {target[row]}.",
            "Do they count from 1? Subtract 1." if target[row] == shape[1] else "Map the labels to 0 … K - 1 first.",
        )
