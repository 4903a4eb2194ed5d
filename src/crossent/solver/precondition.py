"""Approximate Hessians that are cheap to invert: the block of each class, without what joins the classes."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.linalg

from crossent.kernels.regression import FeatureRows, Real
from crossent.solver.data import RegressionData
from crossent.solver.plain import sparse_matrix

Array = npt.NDArray[np.float64]
Precondition = Callable[[Real], Real]

# Features up to which a block holds all second moments, not only those of each feature with itself.
MOST_FEATURES = 1500
# Rows that moments are taken of: so many a feature, but not fewer than these.
ROWS_A_FEATURE, FEWEST_ROWS = 10, 8192
# Classes up to which each has a block of its own.
MOST_BLOCKS = 32
CHUNK = 8192


def preconditioner(data: RegressionData, probs: Real, penalty: Array) -> Precondition:
    """Return what divides a gradient, with the columns of zeros that the kernels take, by the approximate Hessian.

    The block of class k is the mean of ``p_k (1 - p_k) x x'``, plus the penalty.

    Parameters
    ----------
    data
        The rows.
    probs
        ``(n, K)`` probabilities.
    penalty
        ``(d + 1,)``, 0 for the bias.
    """
    num_classes = probs.shape[1]
    if data.rows.features > MOST_FEATURES:
        squares = (_squares(data, probs) + penalty[:, None] + 1e-9).astype(probs.dtype)

        def divide(gradient: Real) -> Real:
            found = np.zeros_like(gradient)
            np.divide(gradient[:, :num_classes], squares, out=found[:, :num_classes])
            return found

        return divide
    factors = [_factor(block, penalty, probs.dtype) for block in _blocks(data, probs)]

    def solve(gradient: Real) -> Real:
        found = np.zeros_like(gradient)
        if len(factors) == 1:
            found[:, :num_classes] = scipy.linalg.cho_solve(factors[0], gradient[:, :num_classes], check_finite=False)
            return found
        for k, factor in enumerate(factors):
            found[:, k] = scipy.linalg.cho_solve(factor, gradient[:, k], check_finite=False)
        return found

    return solve


def passes_to_build(data: RegressionData) -> float:
    """Return how many passes over the rows take as long as to make a preconditioner."""
    n, d = len(data.rows), data.rows.features + 1
    if d > MOST_FEATURES:
        return 5.0
    return min(n, _sample_size(d)) * d / (4 * max(n, 1)) + d**2 / (12 * max(n, 1))


def _sample_size(width: int) -> int:
    return max(ROWS_A_FEATURE * width, FEWEST_ROWS)


def _blocks(data: RegressionData, probs: Real) -> list[Array]:
    """Return the block of each class, or of all where they are many, from rows drawn by their share in the Hessian."""
    n, kept = len(data.rows), _sample_size(data.rows.features + 1)
    curvature = probs * (1 - probs)
    if data.targets.row_weight is not None:
        curvature *= data.targets.row_weight[:, None]
    if probs.shape[1] > MOST_BLOCKS:
        curvature = curvature.mean(axis=1, keepdims=True)
    if n > kept:
        rows, factor = _representatives(curvature.sum(axis=1, dtype=np.float64), kept)
        features, curvature = _dense(data.rows, rows), curvature[rows] * factor[:, None]
    else:
        features = _dense(data.rows, np.arange(n))
    scale, found = 1 / data.total_weight(), []
    for weight in np.sqrt(curvature.T):
        weighted = features * weight[:, None].astype(features.dtype)
        found.append(np.asarray(weighted.T @ weighted, dtype=np.float64) * scale)
    return found


def _representatives(share: Array, count: int) -> tuple[npt.NDArray[np.int64], Real]:
    """Return rows at even steps through their shares, and by what each counts more than itself."""
    share = share + 1e-3 * share.mean() + 1e-30
    ends = np.cumsum(share)
    rows = np.searchsorted(ends, (np.arange(count) + 0.5) / count * ends[-1])
    return rows, (ends[-1] / (count * share[rows])).astype(np.float32)


def _factor(block: Array, penalty: Array, dtype: np.dtype[np.floating]) -> tuple[Real, bool]:
    # A class that is certain everywhere has no curvature left, and its bias no penalty.
    block[np.diag_indices_from(block)] += penalty + 1e-7 * np.trace(block) / len(block) + 1e-12
    factor, lower = scipy.linalg.cho_factor(block, overwrite_a=True, check_finite=False)
    return factor.astype(dtype), lower


def _dense(rows: FeatureRows, chosen: npt.NDArray[np.int64]) -> Real:
    """Return some rows with all features dense, and ones at their end."""
    found: Real = np.zeros((len(chosen), rows.features + 1), rows.dense.dtype)
    if rows.sparse is not None:
        found[:, :-1] = sparse_matrix(rows)[chosen].toarray()
    found[:, : rows.dense.shape[1]] += rows.dense[chosen]
    found[:, -1] = 1
    return found


def _squares(data: RegressionData, probs: Real) -> Array:
    """Return the ``(d + 1, K)`` diagonals of the blocks."""
    n, p = len(data.rows), data.rows.dense.shape[1]
    total = np.zeros((data.rows.features + 1, probs.shape[1]))
    for begin in range(0, n, CHUNK):
        chunk = slice(begin, begin + CHUNK)
        rows, curvature = data.rows.take(chunk), probs[chunk] * (1 - probs[chunk])
        if data.targets.row_weight is not None:
            curvature *= data.targets.row_weight[chunk, None]
        total[:p] += np.square(rows.dense).T @ curvature
        if rows.sparse is not None:
            total[:-1] += sparse_matrix(rows).power(2).T @ curvature
        total[-1] += curvature.sum(axis=0, dtype=np.float64)
    return total / data.total_weight()
