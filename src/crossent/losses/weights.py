"""Weights of classes, from their numbers of rows.

**Shape.** Numbers of rows ``(K,)`` of K classes; out come weights ``(K,)``.
"""

import numpy as np
import numpy.typing as npt

from crossent.checks import check_number
from crossent.errors import ShapeError


def balanced_class_weight(class_counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return weights that give every class the same total.

    Parameters
    ----------
    class_counts
        ``(K,)`` rows of each class.

    Returns
    -------
    array
        ``(K,)`` float64, as scikit-learn's ``"balanced"``: rows by (classes times rows of the class), so that the mean
        weight of a row is 1. A class without rows has weight 1 and counts as no class.

    Raises
    ------
    ShapeError
        If the counts are not one number, zero or more, for each class, or all are zero.

    Notes
    -----
    A model that is trained with them gives probabilities for equal class shares, until `crossent.shift_prior` moves
    them back to the shares of the data. For `crossent.cross_entropy`, wrap them in ``torch.as_tensor``.

    Examples
    --------
    >>> balanced_class_weight([60, 30, 10]).round(3)
    array([0.556, 1.111, 3.333])
    """
    counts = _checked(class_counts)
    there = counts > 0
    weight = np.ones(len(counts))
    weight[there] = counts.sum() / (there.sum() * counts[there])
    return weight


def effective_number_class_weight(class_counts: npt.ArrayLike, beta: float = 0.999) -> npt.NDArray[np.float64]:
    """Return weights by the effective number of rows, which grows more and more slowly with the number of rows.

    Parameters
    ----------
    class_counts
        ``(K,)`` rows of each class.
    beta
        From 0 (all weights are 1) to below 1 (as it nears 1, balanced weights).

    Returns
    -------
    array
        ``(K,)`` float64, of which the mean weight of a row is 1. A class without rows has weight 1.

    Raises
    ------
    ShapeError
        If the counts are not one number, zero or more, for each class, or all are zero.
    SettingError
        If `beta` is not from 0 to 1 - 1e-12.

    Notes
    -----
    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples".

    Examples
    --------
    >>> effective_number_class_weight([6000, 3000, 1000]).round(3)
    array([0.932, 0.979, 1.471])
    >>> effective_number_class_weight([6000, 3000, 1000], beta=0.0)
    array([1., 1., 1.])
    """
    counts = _checked(class_counts)
    check_number("beta", beta, 0.0, 1 - 1e-12)
    there = counts > 0
    weight = np.ones(len(counts))
    weight[there] = (1 - beta) / -np.expm1(counts[there] * np.log(beta)) if beta else 1.0
    weight[there] *= counts.sum() / (weight[there] @ counts[there])
    return weight


def _checked(class_counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    counts = np.asarray(class_counts, np.float64)
    if counts.ndim != 1 or not (counts >= 0).all() or not counts.any() or np.isinf(counts).any():
        raise ShapeError(
            "Class counts are one number, zero or more, for each class, and not all zero.",
            f"They are {class_counts!r}.",
            "Give numpy.bincount(target, minlength=K).",
        )
    return counts
