"""Softmax regression with an L1 penalty, perhaps together with an L2 penalty.

Steps come in pairs: a proximal gradient step, which decides which weights are 0, and a truncated Newton step for the
others, in which no weight changes its sign (after Byrd, Chin, Nocedal and Oztoprak 2016). The dual bounds the gap to
the optimum: its point are the probabilities, moved towards the targets until the point is feasible.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crossent.kernels.regression import Real
from crossent.solver.data import RegressionData
from crossent.solver.newton import (
    LEAST_OBJECTIVE,
    LEAST_SHARE,
    Objective,
    Optimum,
    Point,
    gap_of_bias,
    truncated_cg,
)
from crossent.solver.passes import Passes, open_passes
from crossent.solver.precondition import squares_of_classes

Array = npt.NDArray[np.float64]

MOST_HALVINGS = 30
# After this number of steps in a row that do not lower the gap, no step will.
MOST_STALLED = 5
# Growth of the proximal step size after a successful step.
GROWTH = 1.5
# Number of steps after which the curvature of each weight is computed again.
STEPS_A_CURVATURE = 3
TINY = 1e-30


@dataclass(frozen=True, eq=False)
class ElasticPenalty:
    """``sum of absolute * |theta| + square * theta ** 2 / 2``.

    Attributes
    ----------
    absolute, square
        ``(d + 1,)`` of each feature; those of the bias, the last, are 0.
    """

    absolute: Array
    square: Array

    def absolute_of(self, theta: Array) -> float:
        """Return the first part for ``(d + 1, K)`` weights."""
        return float(self.absolute @ np.abs(theta).sum(axis=1))


def minimise_elastic(
    data: RegressionData,
    penalty: ElasticPenalty,
    start: Array,
    *,
    tolerance: float,
    max_steps: int,
    on_step: Callable[[Point], bool],
) -> Optimum:
    """Minimise the mean cross entropy plus the penalty.

    The arguments are those of `crossent.solver.newton.minimise`; it ends when the gap is a smaller share of the
    objective than `tolerance`.
    """
    with open_passes(data) as passes:
        smooth = Objective(passes, penalty.square, data.total_weight())
        point, steps, stalled, rate = smooth.at(start), 0, 0, 1.0
        gap, curvature = elastic_gap(data, passes, point, penalty), np.ones_like(start)
        while stalled < MOST_STALLED and steps < max_steps:
            if gap <= tolerance * max(_value(point, penalty), LEAST_OBJECTIVE):
                break
            if steps % STEPS_A_CURVATURE == 0:
                curvature = squares_of_classes(data, passes.probs()) + penalty.square[:, None] + TINY
            point, rate = _proximal_step(smooth, point, penalty, curvature, rate)
            point = _newton_among_signs(smooth, point, penalty, curvature)
            least, gap = gap, elastic_gap(data, passes, point, penalty)
            steps, stalled = steps + 1, 0 if gap < least else stalled + 1
            if on_step(replace(point, objective=_value(point, penalty))):
                break
        value = _value(point, penalty)
    converged = gap <= tolerance * max(value, LEAST_OBJECTIVE)
    return Optimum(point.theta, value, point.loss, gap, steps, smooth.passes, converged)


def elastic_gap(data: RegressionData, passes: Passes, point: Point, penalty: ElasticPenalty) -> float:
    """Bound the gap to the optimum by the dual; the remaining derivatives of the bias count to second order."""
    slopes = np.abs(point.gradient - penalty.square[:, None] * point.theta)[:-1]
    absolute, square = penalty.absolute[:-1], penalty.square[:-1]
    hard = square == 0
    most = slopes[hard].max(axis=1, initial=0)
    # Derivatives above the penalty are outside the domain of the dual, unless there is an L2 part.
    over = most > absolute[hard]
    share = float((absolute[hard][over] / most[over]).min(initial=1))
    excess = np.maximum(share * slopes[~hard] - absolute[~hard, None], 0)
    dual = _entropy(data, passes, share) - float((np.square(excess).sum(axis=1) / square[~hard]).sum()) / 2
    # The condition of the dual on the bias holds only up to its derivatives; these times the bias do not count as gap.
    missed = share * float(point.gradient[-1] @ point.theta[-1])
    return max(_value(point, penalty) - dual - missed, 0.0) + 2 * gap_of_bias(point, passes)


def _value(point: Point, penalty: ElasticPenalty) -> float:
    return point.objective + penalty.absolute_of(point.theta)


def _entropy(data: RegressionData, passes: Passes, share: float) -> float:
    """Return the mean entropy of the targets moved by a share of the way to the probabilities."""
    given = data.targets

    def of_chunk(chunk: slice) -> float:
        targets, probs = given.take(chunk), passes.probs()[chunk].astype(np.float64)
        weight = 1.0 if targets.row_weight is None else targets.row_weight.astype(np.float64)
        if targets.distribution is not None:
            sums = targets.distribution.sum(axis=1, dtype=np.float64)
            weight = weight * sums
            mixed = share * probs + (1 - share) * targets.distribution / np.maximum(sums, TINY)[:, None]
        else:
            mixed = share * probs
            mixed[np.arange(len(mixed)), targets.target] += 1 - share
        entropies = -(mixed * np.log(np.maximum(mixed, TINY))).sum(axis=1)
        return float((weight * entropies).sum())

    return sum(passes.by_chunk(of_chunk)) / data.total_weight()


def _proximal_step(
    smooth: Objective, point: Point, penalty: ElasticPenalty, curvature: Array, rate: float
) -> tuple[Point, float]:
    """Return the end of a proximal gradient step in the metric of the curvature, and the rate for the next."""
    for _ in range(MOST_HALVINGS):
        lengths = rate / curvature
        moved = point.theta - lengths * point.gradient
        theta = np.sign(moved) * np.maximum(np.abs(moved) - lengths * penalty.absolute[:, None], 0)
        change = theta - point.theta
        following = smooth.at(theta)
        promised = float((point.gradient * change).sum()) + float((np.square(change) / lengths).sum()) / 2
        if following.objective <= point.objective + promised + smooth.rounding(point):
            return following, rate * GROWTH
        rate /= 2
    return smooth.at(point.theta), rate


def _newton_among_signs(smooth: Objective, point: Point, penalty: ElasticPenalty, curvature: Array) -> Point:
    """Return the end of a Newton step among the weights that are not 0, with 0 where it would change a sign."""
    bound = penalty.absolute > 0
    free = (point.theta != 0) | ~bound[:, None]
    slopes = np.where(free, point.gradient + penalty.absolute[:, None] * np.sign(point.theta), 0)
    scale = float(np.abs(slopes).max())
    if scale == 0:
        return point
    mask = smooth.rows.widen(free)
    inverse = smooth.rows.widen(free / curvature)

    def product(direction: Real) -> Real:
        product_of_free = smooth.product(direction)
        product_of_free *= mask
        return product_of_free

    step, _ = truncated_cg(product, smooth.rows.widen(-slopes / scale), lambda residual: residual * inverse)
    along, value, length = step[:, : point.theta.shape[1]] * np.float64(scale), _value(point, penalty), 1.0
    for _ in range(MOST_HALVINGS):
        theta = point.theta + length * along
        theta[(theta * point.theta < 0) & bound[:, None]] = 0
        following = smooth.at(theta)
        promised = LEAST_SHARE * float((slopes * (theta - point.theta)).sum())
        if _value(following, penalty) <= value + promised + smooth.rounding(point):
            return following
        length /= 2
    # Afterwards the passes hold the probabilities at this point.
    return smooth.at(point.theta)
