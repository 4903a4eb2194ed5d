"""Sparse rows with many features: ascent of the dual, row by row, in some ten passes where the penalty is strong.

The weights are ``sum over rows of strength * (target - probs) x'``, where ``strength`` is the weight of a row by the
penalty, and each row has probabilities of its own; at the optimum they are those of its logits (Shalev-Shwartz and
Zhang 2013). The bias has no penalty, so that ``sum of strength * (target - probs)`` is to be zero; it is the multiplier
of this condition, and moved by what is missing after each pass (the method of multipliers).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.dual_ascent import Omissions, duals_of
from crossent.kernels.dual_ascent import ascend as ascend_rows
from crossent.kernels.library import info
from crossent.kernels.regression import Real, SparseRows, as_real
from crossent.solver.data import RegressionData
from crossent.solver.passes import Passes
from crossent.solver.precondition import MOST_FEATURES

Array = npt.NDArray[np.float64]

# Strength times squared length of a row above which rows pull so hard at each other that no pass gains much.
MOST_PULL = 1000.0
MOST_PASSES = 40
# A pass that leaves more than this share of the gap, twice in a row, is not worth its time.
SLOW = 0.7
NOTHING = Omissions()


@dataclass(frozen=True, eq=False)
class Ascent:
    """Where the dual ascent stopped.

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
    """Return whether the rows are sparse, their features many, and the penalty strong and the same for all."""
    sparse = data.rows.sparse
    if sparse is None or data.rows.dense.shape[1] or data.rows.features <= MOST_FEATURES or not info().available:
        return False
    if not 0 < penalty[0] < np.inf or (penalty[:-1] != penalty[0]).any():
        return False
    values = sparse.values[int(sparse.ends[0]) : int(sparse.ends[-1])]
    mean_square = float(np.vdot(values, values)) / len(data.rows)
    return mean_square / (len(data.rows) * float(penalty[0])) <= MOST_PULL


def ascend(
    data: RegressionData, passes: Passes, penalty: Array, theta: Array, gradient: Array, *, gap: float, max_passes: int
) -> Ascent:
    """Move the weights to within a gap of the optimum, or for as long as it goes fast.

    Parameters
    ----------
    data
        The rows, for which `suits_dual` holds.
    passes
        Has the probabilities at `theta`.
    penalty
        ``(d + 1,)``.
    theta, gradient
        ``(d + 1, K)``: where to begin, and the derivatives there.
    gap
        How far above the optimum the objective may be.
    max_passes
        Most passes.
    """
    rows = _sparse(data)
    strength = _strength(data, float(penalty[0]), passes.probs().dtype)
    # The weights that the probabilities make; the bias as it is, and what its condition misses.
    moved, missing = passes.widen(theta), -gradient[-1] / penalty[0]
    moved[:-1, : data.num_classes] -= as_real(gradient[:-1] / penalty[0], moved.dtype)
    duals = duals_of(passes.probs(), moved, np.zeros(data.num_classes))
    # The optimum does not depend on the order; a fixed seed makes the way there the same each time.
    rng, found, slow, last = np.random.default_rng(0), 0, 0, np.inf
    while found < min(max_passes, MOST_PASSES) and slow < 2:
        before = moved[-1, : data.num_classes].astype(np.float64)
        order = rng.permutation(len(data.rows))
        _, left = ascend_rows(rows, data.targets.target, duals, data.num_classes, strength, order, NOTHING)
        missing += moved[-1, : data.num_classes] - before
        found += 1
        if left * penalty[0] <= gap:
            break
        moved[-1, : data.num_classes] += missing.astype(moved.dtype)
        slow = slow + 1 if left > SLOW * last else 0
        last = left
    return Ascent(moved[:, : data.num_classes].astype(np.float64), found)


def _sparse(data: RegressionData) -> SparseRows:
    if data.rows.sparse is None:
        raise ValueError("the rows are not sparse")
    return data.rows.sparse


def _strength(data: RegressionData, penalty: float, dtype: npt.DTypeLike) -> Real:
    weight, distribution = data.targets.row_weight, data.targets.distribution
    found = np.full(len(data.rows), 1 / (penalty * data.total_weight()))
    if weight is not None:
        found *= weight
    if distribution is not None:
        found *= distribution.sum(axis=1, dtype=np.float64)
    return as_real(found, dtype)
