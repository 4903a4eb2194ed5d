"""Softmax regression on sparse rows by dual coordinate ascent: near the optimum in a handful of passes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.dual_ascent import Omissions, ascend, duals_at_targets
from crossent.kernels.library import info
from crossent.kernels.regression import FeatureRows
from crossent.solver.plain_ascent import plain_ascend

# The first passes visit all classes. After them, with many classes, only one pass in this number does; the others leave
# out classes that are improbable for a row.
FIRST_PASSES, EVERY = 2, 3
FAR, NEAR = Omissions(least_dual=1e-2, negligible=1e-5), Omissions(negligible=1e-5)
# A loss below this, in nats, counts as this much when the gap is compared with it.
LEAST_LOSS = 0.04


@dataclass(frozen=True, eq=False)
class BlockAscentSolution:
    """A softmax regression, and its distance from the optimum.

    Attributes
    ----------
    weight
        ``(d, K)`` float32.
    bias
        ``(K,)`` float32.
    loss
        Mean cross entropy in nats in the last pass, of each row before its change.
    gap
        Upper bound in that pass on the distance of mean cross entropy plus penalty from its optimum, in the same sense.
    passes
        Passes over the rows.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    loss: float
    gap: float
    passes: int


def solve_by_block_ascent(
    rows: FeatureRows,
    target: npt.NDArray[np.int64],
    log_prior: npt.NDArray[np.float64],
    *,
    strength: npt.NDArray[np.float32],
    label_smoothing: float,
    tolerance: float,
    max_passes: int,
    rng: np.random.Generator,
) -> BlockAscentSolution:
    """Minimise ``sum of strength * cross entropy + ||weight||^2 / 2``; the bias minus the log-prior counts as a weight.

    It runs in one thread. Without the kernels it takes the same steps in NumPy, with the same weights up to rounding.

    Parameters
    ----------
    rows
        The n rows, float32, with sparse features only.
    target
        ``(n,)`` int64 class indices below K.
    log_prior
        ``(K,)``: the bias that has no penalty.
    strength
        ``(n,)``: C of scikit-learn's ``LogisticRegression`` times the weight of each row.
    label_smoothing
        Share of each target that goes evenly to all classes; the loss that is returned does not count it.
    tolerance
        It ends when the gap is a smaller share than this of the loss, or of `LEAST_LOSS` if that is larger.
    max_passes
        Largest number of passes over the rows.
    rng
        Draws the order of the rows in each pass.

    Source: Shalev-Shwartz and Zhang 2013, "Stochastic dual coordinate ascent methods for regularized loss
    minimization".
    """
    if rows.sparse is None:
        raise ValueError("the rows are not sparse")
    num_classes, n = len(log_prior), len(target)
    duals = duals_at_targets(target, rows.features, log_prior, label_smoothing)
    total = float(strength.sum(dtype=np.float64))
    loss, gap = 0.0, np.inf
    take_pass, passes = ascend if info().available else plain_ascend, 0
    while passes < max_passes and gap > tolerance * max(loss, LEAST_LOSS):
        passes += 1
        if passes > FIRST_PASSES and passes % EVERY and passes < max_passes:
            take_pass(rows.sparse, target, duals, num_classes, strength, rng.permutation(n), FAR)
            continue
        total_loss, total_gap = take_pass(rows.sparse, target, duals, num_classes, strength, rng.permutation(n), NEAR)
        loss, gap = total_loss / total, total_gap / total
    bias = duals.weight[-1, :num_classes] + duals.offset[:num_classes]
    weight = np.asarray(duals.weight[:-1, :num_classes], np.float32)
    return BlockAscentSolution(weight, np.asarray(bias, np.float32), loss, gap, passes)
