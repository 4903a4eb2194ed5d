"""Chooses the penalty by the log-loss of held-out rows."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from crossent.kernels.regression import RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.regression import Coefficients, Penalty, linear_logits, solve_softmax_regression

Array = npt.NDArray[np.float64]

# From strong to weak, because each solution is the start of the next.
PENALTY_PATH = tuple(float(C) for C in np.logspace(-4, 4, 10))
# Solutions of the path need only be exact enough to be compared; the chosen one is then solved to its optimum.
PATH_TOLERANCE = 1e-4
# The path ends once the gain of held-out rows is at most this, in nats, after a larger gain.
LEAST_GAIN = 1e-4
# Number of held-out rows whose loss is computed together.
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class PenaltyChoice:
    """The penalty of the lowest log-loss on held-out rows.

    Attributes
    ----------
    C
        The inverse penalty strength.
    losses
        ``(len(path),)`` mean log-loss in nats on held-out rows, of each strength of the path; NaN where the path ended
        before.
    start
        A solution near the one for `C`, on some of the rows.
    """

    C: float
    losses: Array
    start: Coefficients


def choose_penalty(
    data: RegressionData,
    start: Coefficients,
    fold: npt.NDArray[np.int64],
    *,
    penalty: Penalty,
    path: tuple[float, ...],
    max_steps: int,
) -> PenaltyChoice:
    """Fit a path of penalties, leaving out each fold in turn, and compare them on the held-out rows.

    In the fits, held-out rows have the weight 0, so that nothing is copied.

    Parameters
    ----------
    data
        The rows.
    start
        Where to begin.
    fold
        ``(n,)``: the fold in which each row is held out, from 0, or -1 for rows that are never held out.
    penalty
        The kind of penalty; its strength is taken from the path.
    path
        Inverse penalty strengths, strong to weak.
    max_steps
        Largest number of steps of a fit.
    """
    losses, last = np.full((int(fold.max()) + 1, len(path)), np.nan), start
    weights = np.zeros((len(losses), 1))
    for held_out, of_fold in enumerate(losses):
        train = reweighted(data, (fold != held_out).astype(data.rows.dense.dtype))
        valid = np.flatnonzero(fold == held_out)
        weights[held_out], current, before = data.take(valid).total_weight(), start, start
        for i, C in enumerate(path):  # noqa: N806 - scikit-learn's name
            solution = solve_softmax_regression(
                train,
                _onwards(before, current) if i > 1 else current,
                replace(penalty, C=C),
                tolerance=PATH_TOLERANCE,
                max_steps=max_steps,
                on_step=lambda *_: False,
            )
            before, current = current, solution.coefficients
            of_fold[i] = loss_at(data, valid, current)
            if gains_no_more([float(loss) for loss in of_fold[: i + 1]]):
                break
            last = current
    # A strength that some folds did not reach is NaN: it is worse than the last one that they reached.
    means = (losses * weights).sum(axis=0) / weights.sum()
    return PenaltyChoice(path[int(np.nanargmin(means))], means, last)


def _onwards(before: Coefficients, last: Coefficients) -> Coefficients:
    """Return the linear extrapolation of two solutions to the next one."""
    return Coefficients(2 * last.weight - before.weight, 2 * last.bias - before.bias)


def gains_no_more(losses: list[float]) -> bool:
    """Return whether the last loss of a path is above the lowest before it, or hardly below it after larger gains.

    Examples
    --------
    >>> gains_no_more([1.4, 1.39999]), gains_no_more([1.4, 1.0, 0.99999]), gains_no_more([1.4, 1.5])
    (False, True, True)
    """
    *before, last = losses
    lowest = min(before, default=float("inf"))
    return last > lowest or (last > lowest - LEAST_GAIN and losses[0] > lowest + LEAST_GAIN)


def loss_at(data: RegressionData, chosen: npt.NDArray[np.int64], coefficients: Coefficients) -> float:
    """Return the mean cross entropy of some of the rows, in nats."""
    loss = weight = 0.0
    for begin in range(0, len(chosen), CHUNK):
        part = data.take(chosen[begin : begin + CHUNK])
        targets, log_probs = part.targets, log_softmax(linear_logits(part.rows, coefficients), axis=1)
        if targets.distribution is not None:
            losses = -(targets.distribution * log_probs).sum(axis=1)
        else:
            losses = -log_probs[np.arange(len(log_probs)), targets.target]
        loss += float(losses.sum() if targets.row_weight is None else losses @ targets.row_weight)
        weight += part.total_weight()
    return loss / weight


def reweighted(data: RegressionData, factor: npt.NDArray[np.floating]) -> RegressionData:
    """Return the same rows with weights multiplied by a factor for each row, ``(n,)`` of their dtype."""
    weight = data.targets.row_weight
    targets: RowTargets = replace(data.targets, row_weight=factor if weight is None else weight * factor)
    return replace(data, targets=targets)
