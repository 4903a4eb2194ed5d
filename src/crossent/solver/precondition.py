"""Approximate Hessians that are cheap to invert.

The Hessian is the mean of ``(diag(p) - p p') (x) x x'`` over the rows, plus the penalty. Classes are replaced by modes,
the eigenvectors of the mean of ``diag(p) - p p'``, and blocks between two modes are left out: they are zero on average,
unlike blocks between two classes. The mode in which all logits move together has no curvature; gradients and steps have
no part in it. A small Hessian is inverted exactly.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.linalg

from crossent.kernels.regression import Real, as_real
from crossent.solver.coupled import RIDGES, cost_of_coupling, couple, scale_to_ones
from crossent.solver.data import RegressionData
from crossent.solver.passes import Divide, Passes
from crossent.solver.plain import sparse_matrix
from crossent.solver.sample import CHUNK, take_sample

Array = npt.NDArray[np.float64]
Result = TypeVar("Result")

# Up to this number of weights and biases, the Hessian is inverted exactly.
MOST_COUPLED = 640
# Up to this number of features, a block holds all second moments, not only the diagonal.
MOST_FEATURES = 1500
# Number of rows from which moments are computed: the first number for each feature of a block, but at least the second.
ROWS_A_COLUMN, FEWEST_ROWS = 10, 2048
# Number of modes that have their own block, and largest number of classes for which modes are computed.
MOST_BLOCKS, MOST_MODES = 32, 512
# From this number of features on, the work of a block is enough for a thread.
FEWEST_SPREAD = 128


class Preconditioner:
    """Divides gradients by an approximate Hessian, which is renewed when its age in passes exceeds its cost."""

    def __init__(self, data: RegressionData, passes: Passes, penalty: Array) -> None:
        self._data = data
        self._passes = passes
        self._penalty = penalty
        self._coupled = data.num_classes * len(penalty) <= MOST_COUPLED
        self._built_at = -np.inf
        self._divide: Divide = np.copy

    def at(self, passed: int) -> Divide:
        """Return a function that divides a gradient, padded for the kernels, by the approximate Hessian.

        Parameters
        ----------
        passed
            Passes over the rows so far.
        """
        if passed - self._built_at >= self._cost():
            make = couple if self._coupled else divide_modes
            # The old one is released first, because both together may take much memory.
            self._divide = np.copy
            self._divide, self._built_at = make(self._data, self._passes, self._penalty), passed
        return self._divide

    def _cost(self) -> float:
        """Return the time to compute it, in passes over the rows."""
        n, d = max(len(self._data.rows), 1), len(self._penalty)
        if self._coupled:
            return cost_of_coupling(n, d * self._data.num_classes)
        if d > MOST_FEATURES:
            return 5.0
        return min(n, max(ROWS_A_COLUMN * d, FEWEST_ROWS)) * d / (4 * n) + d**2 / (4 * n)


def divide_modes(data: RegressionData, passes: Passes, penalty: Array) -> Divide:
    """Return a function that divides each mode by its own block; the arguments are those of `couple`."""
    if len(penalty) > MOST_FEATURES:
        return _divide_squares(data, passes.probs(), penalty)
    sample = take_sample(data, passes.probs(), max(ROWS_A_COLUMN * len(penalty), FEWEST_ROWS))
    modes, unit, num_classes = _modes(sample.probs, sample.weight), sample.largest(), data.num_classes
    # The modes are sorted by curvature, so that modes that share a block have nearly the same curvature.
    count = 1 if num_classes > MOST_MODES else min(modes.shape[1], MOST_BLOCKS)
    groups = np.array_split(np.arange(modes.shape[1]), count)

    curvature = _curvature(sample.probs, modes) * sample.weight[:, None]
    roots = [np.sqrt(curvature[:, group].mean(axis=1, keepdims=True)) for group in groups]
    factors = np.zeros((count, len(penalty), len(penalty)), unit.dtype)
    # Several threads are slower than one if their tasks are short.
    spread = passes.spread if len(penalty) >= FEWEST_SPREAD else _one_by_one
    for begin in range(0, len(sample.weight), CHUNK):
        chunk = slice(begin, begin + CHUNK)
        features = sample.features(chunk)
        features /= unit

        def add(i: int, features: Real = features, chunk: slice = chunk) -> None:
            weighted = features * roots[i][chunk]
            factors[i] += weighted.T @ weighted

        spread(add, range(count))

    def invert(i: int) -> None:
        factors[i] = _inverse_factor(factors[i].astype(np.float64), penalty, unit)

    spread(invert, range(count))

    def divide(gradient: Real) -> Real:
        rotated: Real = gradient[:, :num_classes] @ modes

        def part(i: int) -> Real:
            divided: Real = factors[i].T @ (factors[i] @ rotated[:, groups[i]])
            return divided

        divided = np.zeros_like(gradient)
        parts = as_real(np.hstack(spread(part, range(count))), gradient.dtype)
        divided[:, :num_classes] = parts @ modes.T
        return divided

    return divide


def _one_by_one(work: Callable[[int], Result], items: Iterable[int]) -> list[Result]:
    return [work(item) for item in items]


def _divide_squares(data: RegressionData, probs: Real, penalty: Array) -> Divide:
    """Divide by the diagonal of each mode's block."""
    n, num_classes = len(data.rows), probs.shape[1]
    weight = data.targets.row_weight
    modes = _modes(probs, as_real(np.ones(n), probs.dtype) if weight is None else weight)
    total = _squares(data, modes.shape[1], lambda chunk: _curvature(probs[chunk], modes))
    inverse = as_real(1 / (total + penalty[:, None] + 1e-9), probs.dtype)

    def divide(gradient: Real) -> Real:
        divided = np.zeros_like(gradient)
        divided[:, :num_classes] = ((gradient[:, :num_classes] @ modes) * inverse) @ modes.T
        return divided

    return divide


def squares_of_classes(data: RegressionData, probs: Real) -> Array:
    """Return the ``(d + 1, K)`` diagonal of the Hessian of the mean loss."""
    return _squares(data, probs.shape[1], lambda chunk: probs[chunk] * (1 - probs[chunk]))


def _squares(data: RegressionData, columns: int, curvature_of: Callable[[slice], Real]) -> Array:
    """Return the ``(d + 1, columns)`` means of squared features times the curvature of a chunk's rows."""
    n, p, weight = len(data.rows), data.rows.dense.shape[1], data.targets.row_weight
    total = np.zeros((data.rows.features + 1, columns))
    for begin in range(0, n, CHUNK):
        chunk = slice(begin, begin + CHUNK)
        rows, curvature = data.rows.take(chunk), curvature_of(chunk)
        if weight is not None:
            curvature *= weight[chunk, None]
        total[:p] += np.square(rows.dense, dtype=np.float64).T @ curvature
        if rows.sparse is not None:
            total[:-1] += sparse_matrix(rows).astype(np.float64).power(2).T @ curvature
        total[-1] += curvature.sum(axis=0, dtype=np.float64)
    total /= data.total_weight()
    return total


def _modes(probs: Real, weight: Real) -> Real:
    """Return the ``(K, K - 1)`` eigenvectors of the mean of ``diag(p) - p p'``, without the flattest."""
    num_classes = probs.shape[1]
    if num_classes > MOST_MODES:
        # There are too many classes for a decomposition, so each class is its own mode.
        return as_real(np.eye(num_classes), probs.dtype)
    weighted = probs * weight[:, None]
    mean = np.diag(weighted.sum(axis=0, dtype=np.float64)) - weighted.T @ probs
    return as_real(np.linalg.eigh(mean)[1][:, 1:], probs.dtype)


def _curvature(probs: Real, modes: Real) -> Real:
    """Return ``m' (diag(p) - p p') m`` of each row p and mode m."""
    if modes.shape[0] > MOST_MODES:
        return probs * (1 - probs)
    curvature: Real = np.maximum(probs @ np.square(modes) - np.square(probs @ modes), 0)
    return curvature


def _inverse_factor(moments: Array, penalty: Array, unit: Real) -> Real:
    """Return L such that ``L' L`` is the inverse of moments, of features in their units, with the penalty."""
    size = scale_to_ones(moments, penalty / np.square(unit, dtype=np.float64), RIDGES[0])
    factor = scipy.linalg.cholesky(moments, lower=True, overwrite_a=True, check_finite=False)
    inverse, _ = scipy.linalg.lapack.dtrtri(factor, lower=1, overwrite_c=1)
    inverse /= size * unit
    return as_real(inverse, unit.dtype)
