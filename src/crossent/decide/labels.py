"""Labels from probabilities: the cheapest, and the k most probable."""

import numpy as np
import numpy.typing as npt

from crossent.array_checks import check_probs_array
from crossent.errors import SettingError, ShapeError

IntArray = npt.NDArray[np.int64]


def minimum_cost(probs: npt.ArrayLike, costs: npt.ArrayLike) -> IntArray:
    """Return the class of least expected cost for each row, ``(n,)``; of equal ones the first.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    costs
        ``(K, K)``: ``costs[i, j]`` is the cost of predicting class j if class i is true. ROWS ARE TRUE CLASSES,
        columns predicted ones, as in a confusion matrix. Finite, at least 0; zeros on the diagonal are usual.

    Raises
    ------
    ShapeError
        If the probabilities are not ``(n, K)`` rows from 0 to 1 that sum to 1, or the costs not ``(K, K)``.
    SettingError
        If a cost is negative or not finite.

    Notes
    -----
    Source: Elkan 2001, "The Foundations of Cost-Sensitive Learning".

    Examples
    --------
    A miss of class 1 costs ten times as much as a false alarm:

    >>> minimum_cost([[0.8, 0.2], [0.95, 0.05]], [[0, 1], [10, 0]])
    array([1, 0])
    """
    checked, matrix = np.asarray(probs), np.asarray(costs, dtype=np.float64)
    check_probs_array("probs", checked)
    class_count = checked.shape[1]
    if matrix.shape != (class_count, class_count):
        raise ShapeError(
            f"Costs are a matrix of {class_count} true classes (rows) by {class_count} predicted classes (columns).",
            f"Their shape is {matrix.shape}.",
            "Give a cost for every pair.",
        )
    good = np.isfinite(matrix) & (matrix >= 0)
    if not good.all():
        true, predicted = np.argwhere(~good)[0]
        raise SettingError(
            "Costs are finite and at least 0.",
            f"The cost of predicting class {predicted} if class {true} is true is {matrix[true, predicted]:g}.",
            "Express a gain as a cost: add the same amount to a whole row, which changes no decision.",
        )
    return np.asarray((checked @ matrix).argmin(axis=1), dtype=np.int64)


def top_k(probs: npt.ArrayLike, k: int) -> IntArray:
    """Return the k most probable classes of each row, ``(n, k)``, the most probable first; of equal ones the first.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    k
        From 1 to K.

    Raises
    ------
    ShapeError
        If the probabilities are not ``(n, K)`` rows from 0 to 1 that sum to 1.
    SettingError
        If k is not a whole number from 1 to K.

    Examples
    --------
    >>> top_k([[0.2, 0.5, 0.3]], 2)
    array([[1, 2]])
    """
    checked = np.asarray(probs)
    check_probs_array("probs", checked)
    if not isinstance(k, int | np.integer) or not 1 <= k <= checked.shape[1]:
        raise SettingError(
            f"k is a whole number from 1 to the number of classes, {checked.shape[1]}.",
            f"It is {k!r}.",
            "Choose such a value.",
        )
    return np.argsort(-checked, axis=1, kind="stable")[:, :k].astype(np.int64)
