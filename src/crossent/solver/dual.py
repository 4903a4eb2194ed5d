"""Sparse rows with many features: ascent of the dual, row by row, in about ten passes if the penalty is strong.

The weights are ``sum over rows of strength * (target - probs) x'``, where ``strength`` is the weight of a row divided
by the penalty, and each row has its own probabilities; at the optimum they are the softmax of its logits
(Shalev-Shwartz and Zhang 2013). The bias has no penalty, so ``sum of strength * (target - probs)`` must be zero; the
bias is the multiplier of this condition, and is moved by the violation after each pass (the method of multipliers).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.dual_ascent import NEARLY_NONE, Duals, Omissions, duals_of
from crossent.kernels.dual_ascent import ascend as ascend_rows
from crossent.kernels.library import info
from crossent.kernels.regression import Real, SparseRows, as_real, padded_classes, zeros_at_line
from crossent.solver.data import RegressionData
from crossent.solver.passes import Passes
from crossent.solver.plain_ascent import plain_ascend
from crossent.solver.precondition import MOST_FEATURES

Array = npt.NDArray[np.float64]

# Above this strength times squared length of a row, rows disturb each other so much that a pass gains little.
MOST_PULL = 1000.0
MOST_PASSES = 40
# If two passes in a row leave more than this share of the gap, further passes are not worth their time.
SLOW = 0.7
NOTHING = Omissions()
TINY = 1e-30


@dataclass(frozen=True, eq=False)
class DualStart:
    """The start of dual ascent.

    Attributes
    ----------
    duals
        A distribution for each row, and the weights that belong to them; the bias is independent of them.
    missing
        ``(K,)`` float64: ``sum of strength * (target - dual)``, which must become zero.
    """

    duals: Duals
    missing: Array


@dataclass(frozen=True, eq=False)
class Ascent:
    """The result of dual ascent.

    Attributes
    ----------
    theta
        ``(d + 1, K)`` weights, the bias last.
    passes
        Passes over the rows.
    """

    theta: Array
    passes: int


def suits_dual(data: RegressionData, penalty: Array) -> bool:
    """Return whether the rows are sparse with many features, and the penalty is strong and equal for all features."""
    sparse = data.rows.sparse
    if sparse is None or data.rows.dense.shape[1] or data.rows.features <= MOST_FEATURES:
        return False
    if not 0 < penalty[0] < np.inf or (penalty[:-1] != penalty[0]).any():
        return False
    values = sparse.values[int(sparse.ends[0]) : int(sparse.ends[-1])]
    mean_square = float(np.vdot(values, values)) / len(data.rows)
    return mean_square / (len(data.rows) * float(penalty[0])) <= MOST_PULL


def start_at_targets(data: RegressionData, bias: Array) -> DualStart:
    """Return the start without weights: each row's distribution is its target.

    Parameters
    ----------
    data
        The rows, for which `suits_dual` holds.
    bias
        ``(K,)``.
    """
    n, num_classes, targets = len(data.rows), data.num_classes, data.targets
    dtype = data.rows.dense.dtype
    weight = zeros_at_line((data.rows.features + 1, padded_classes(num_classes)), dtype)
    weight[-1, :num_classes] = bias
    if targets.distribution is not None:
        probs = targets.distribution / np.maximum(targets.distribution.sum(axis=1, keepdims=True), TINY)
    else:
        probs = np.zeros((n, num_classes), dtype)
        probs[np.arange(n), targets.target] = 1
    duals = duals_of(np.maximum(probs, NEARLY_NONE), weight, np.zeros(num_classes))
    return DualStart(duals, np.zeros(num_classes))


def start_at_probs(data: RegressionData, passes: Passes, penalty: Array, theta: Array, gradient: Real) -> DualStart:
    """Return the start at given weights: rows have the distributions of their logits; the weights follow from these.

    Parameters
    ----------
    data
        The rows, for which `suits_dual` holds.
    passes
        Holds the probabilities at `theta`.
    penalty
        ``(d + 1,)``.
    theta, gradient
        ``(d + 1, K)``: the weights, and the derivatives there.
    """
    weight = passes.widen(theta)
    weight[:-1, : data.num_classes] -= as_real(gradient[:-1] / penalty[0], weight.dtype)
    return DualStart(duals_of(passes.probs(), weight, np.zeros(data.num_classes)), -gradient[-1] / penalty[0])


def ascend(data: RegressionData, penalty: float, start: DualStart, *, gap: float, max_passes: int) -> Ascent:
    """Move the weights to within a gap of the optimum, or as long as passes gain enough.

    Parameters
    ----------
    data
        The rows, for which `suits_dual` holds.
    penalty
        Of all features.
    start
        The start; its arrays are overwritten.
    gap
        Distance from the optimum that the objective may have.
    max_passes
        Most passes.
    """
    duals, missing, num_classes = start.duals, start.missing.copy(), data.num_classes
    rows, strength = _sparse(data), _strength(data, penalty, duals.weight.dtype)
    bias = duals.weight[-1, :num_classes]
    # The optimum does not depend on the order; a fixed seed makes the passes the same each time.
    rng, passes, slow, last = np.random.default_rng(0), 0, 0, np.inf
    take_pass = ascend_rows if info().available else plain_ascend
    while passes < min(max_passes, MOST_PASSES) and slow < 2:
        before = bias.astype(np.float64)
        order = rng.permutation(len(data.rows))
        _, left = take_pass(rows, data.targets.target, duals, num_classes, strength, order, NOTHING)
        missing += bias - before
        passes += 1
        if left * penalty <= gap:
            break
        bias += missing.astype(bias.dtype)
        slow = slow + 1 if left > SLOW * last else 0
        last = left
    return Ascent(duals.weight[:, :num_classes].astype(np.float64), passes)


def _sparse(data: RegressionData) -> SparseRows:
    if data.rows.sparse is None:
        raise ValueError("the rows are not sparse")
    return data.rows.sparse


def _strength(data: RegressionData, penalty: float, dtype: npt.DTypeLike) -> Real:
    weight, distribution = data.targets.row_weight, data.targets.distribution
    strength = np.full(len(data.rows), 1 / (penalty * data.total_weight()))
    if weight is not None:
        strength *= weight
    if distribution is not None:
        strength *= distribution.sum(axis=1, dtype=np.float64)
    return as_real(strength, dtype)
