"""Prediction sets: how often they hold the true class, and how large they are."""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from crossent.errors import ShapeError
from crossent.evaluation.calibration import wilson_interval
from crossent.evaluation.metrics import FloatArray, IntArray, check_rows
from crossent.evaluation.result import ClassSets, Estimate, SetsResult
from crossent.kinds.column import Label


def evaluate_sets(
    sets: npt.NDArray[np.bool_],
    target: IntArray,
    classes: tuple[Label, ...],
    *,
    sample_weight: FloatArray | None = None,
) -> SetsResult:
    """Return coverage and mean size of prediction sets, overall and for the rows of each true class.

    Parameters
    ----------
    sets
        ``(n, K)`` bool: which classes the set of each row holds.
    target
        ``(n,)`` class indices.
    classes
        The K labels, in column order.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as in coverage and mean size. None: as one.

    Raises
    ------
    ShapeError
        If the sets are not bool ``(n, K)`` with at least one row, or labels or class indices do not fit.

    Notes
    -----
    Sources: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", for coverage; the size
    has the normal interval of a mean.

    Examples
    --------
    >>> result = evaluate_sets(np.array([[True, True], [False, True]]), np.array([0, 0]), ("no", "yes"))
    >>> result.coverage.value, result.mean_size.value, result.size_counts
    (0.5, 1.5, array([0, 1, 1]))
    """
    _check(sets, target, classes)
    rows = np.arange(len(target))
    covered, size = sets[rows, target], sets.sum(axis=1)
    weight = np.ones(len(target)) if sample_weight is None else sample_weight
    of_class = [target == k for k in range(len(classes))]
    return SetsResult(
        rows=len(target),
        coverage=_coverage(covered, weight),
        mean_size=_mean_size(size, weight),
        size_counts=np.bincount(size, minlength=len(classes) + 1).astype(np.int64),
        classes=tuple(
            ClassSets(label, int(own.sum()), _coverage(covered[own], weight[own]), _mean_size(size[own], weight[own]))
            for label, own in zip(classes, of_class, strict=True)
        ),
    )


def _coverage(covered: npt.NDArray[np.bool_], weight: FloatArray) -> Estimate:
    if not covered.size:
        return Estimate(float("nan"), float("nan"), float("nan"))
    # Rows of different weights tell as much as fewer rows of the same (Kish 1965, "Survey Sampling").
    per_row = weight.sum() / (weight**2).sum()
    low, high = wilson_interval(np.array([weight @ covered * per_row]), np.array([weight.sum() * per_row]))
    return Estimate(float(np.average(covered, weights=weight)), float(low[0]), float(high[0]))


def _mean_size(size: IntArray | FloatArray, weight: FloatArray) -> Estimate:
    if size.size < 2:
        return Estimate(float(size.mean()) if size.size else float("nan"), float("nan"), float("nan"))
    mean = float(np.average(size, weights=weight))
    squares = float(np.square(weight * (size - mean)).sum())
    spread = float(np.sqrt(squares * size.size / (size.size - 1)) / weight.sum())
    reach = NormalDist().inv_cdf(0.975) * spread
    return Estimate(mean, max(0.0, mean - reach), mean + reach)


def _check(sets: npt.NDArray[np.bool_], target: IntArray, classes: tuple[Label, ...]) -> None:
    if sets.ndim != 2 or sets.dtype != np.bool_ or not sets.size or sets.shape[1] != len(classes):
        raise ShapeError(
            f"Prediction sets are bool of shape (n, K), here K = {len(classes)}, of one row or more.",
            f"They are {sets.dtype} of shape {sets.shape}.",
            "Give True where the set of a row holds a class.",
        )
    check_rows(sets, target)
