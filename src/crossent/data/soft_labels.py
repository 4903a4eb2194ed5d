"""Labels that are not certain: shares of the classes in each row, such as the votes of several annotators."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.array_checks import check_probs_array
from crossent.data.read import read_table
from crossent.errors import DataError
from crossent.kinds.column import Label

Shares = npt.NDArray[np.float32]


def is_distribution(y: Any) -> bool:
    """Say whether a target holds shares: a frame of two columns or more, or a floating array ``(n, K)``, K above 1."""
    if hasattr(y, "columns"):
        return len(y.columns) > 1
    array = np.asarray(y)
    return array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f"


def read_distribution(y: Any) -> tuple[Shares, tuple[Label, ...]]:
    """Return the ``(n, K)`` float32 shares of each row, and the K classes.

    Parameters
    ----------
    y
        A frame, whose columns are the classes in their order, or an array, whose classes are 0 to K - 1.

    Raises
    ------
    DataError
        If a class has no share in any row, or a column does not hold numbers.
    ShapeError
        If a row holds a value outside 0 to 1, or does not sum to one.

    Examples
    --------
    >>> read_distribution(np.array([[0.5, 0.5], [0.0, 1.0]]))[1]
    (0, 1)
    """
    if hasattr(y, "columns"):
        classes: tuple[Label, ...] = tuple(y.columns)
        values = read_table(y).to_numpy()
        if values.dtype.kind not in "fiu":
            raise DataError(
                "A target of several columns holds the share of each class.",
                f"The columns {', '.join(map(repr, classes[:12]))} are not all numbers.",
                "Give one column of labels, or shares that sum to one in each row.",
            )
    else:
        values = np.asarray(y)
        classes = tuple(range(values.shape[1]))
    check_probs_array("y", values)
    mass = values.sum(axis=0, dtype=np.float64)
    if not mass.all():
        raise DataError(
            "Every class has a share in some row.", f"{classes[int(mass.argmin())]!r} has no share.", "Leave it out."
        )
    shares = values.astype(np.float64, order="C")
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32), classes


def draw_labels(distribution: Shares, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return a label for each row, drawn by its shares, as one annotator might have given it.

    Held-out rows are evaluated and calibrated by such labels. Their log-loss is, on average over the draws, the cross
    entropy to the shares. With the most frequent label of each row it would be too low, and calibration would make the
    model certain where people are not.

    Parameters
    ----------
    distribution
        ``(n, K)``.
    rng
        Source of the draws.

    Examples
    --------
    >>> draw_labels(np.array([[0.0, 1.0], [1.0, 0.0]], np.float32), np.random.default_rng(0))
    array([1, 0])
    """
    reached = distribution.cumsum(axis=1, dtype=np.float64)
    even = rng.random((len(distribution), 1)) * reached[:, -1:]
    return np.asarray((reached <= even).sum(axis=1), np.int64)
