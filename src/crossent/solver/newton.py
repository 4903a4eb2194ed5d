"""Softmax regression to its optimum, by a truncated Newton method.

Each step minimises the quadratic model of the objective by preconditioned conjugate gradients, as long as iterations
gain enough (Nash and Sofer 1990), and is shortened until the objective falls.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.errors import DataError
from crossent.kernels.regression import Real, as_real
from crossent.solver.data import RegressionData
from crossent.solver.dual import ascend, start_at_probs, start_at_targets, suits_dual
from crossent.solver.length import lowest_along
from crossent.solver.passes import AnyPasses, Divide, Passes, open_passes
from crossent.solver.precondition import Preconditioner

Array = npt.NDArray[np.float64]

# Smallest share of the predicted decrease that a step must achieve (Armijo).
LEAST_SHARE = 1e-4
# Conjugate gradients end when the last iteration gives less than this share of the decrease, divided by their number.
TRUNCATION = 0.25
MOST_PRODUCTS = 2000
SMALLEST_STEP = 2.0**-30
# Largest share of the slope at the start of a step that may remain at its end.
STEEP = 0.4
# Differences below this number of roundings, as a share of the objective, are not significant.
ROUNDINGS = 8
# Differences below this number of nats never matter: the limit of the objective may be zero.
LEAST_OBJECTIVE = 1e-3
# Modes of the classes with less curvature than this share of the rows have none.
LEAST_CURVATURE = 1e-12
# Number of features whose penalty is added at once.
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Optimum:
    """The result of the solver.

    Attributes
    ----------
    theta
        ``(d + 1, K)`` weights, the bias last.
    objective
        Mean cross entropy in nats plus penalty.
    loss
        Mean cross entropy without the penalty.
    gap
        Upper bound on the distance of the objective from its optimum; infinite if a feature is not penalised.
    steps
        Newton steps.
    passes
        Passes over the rows.
    converged
        Whether the tolerance was reached.
    """

    theta: Array
    objective: float
    loss: float
    gap: float
    steps: int
    passes: int
    converged: bool


@dataclass(frozen=True, eq=False)
class Point:
    """The objective at a point.

    Attributes
    ----------
    theta, gradient
        ``(d + 1, K)``.
    objective, loss
        Mean cross entropy in nats with and without the penalty.
    """

    theta: Array
    objective: float
    loss: float
    gradient: Real


def minimise(
    data: RegressionData,
    penalty: Array,
    start: Array,
    *,
    tolerance: float,
    max_steps: int,
    on_step: Callable[[Point], bool],
) -> Optimum:
    """Minimise the mean cross entropy plus ``sum of penalty * theta ** 2 / 2``.

    Parameters
    ----------
    data
        The rows.
    penalty
        ``(d + 1,)`` penalty of each feature; the last one, of the bias, is 0.
    start
        ``(d + 1, K)``; a near solution makes it fast.
    tolerance
        Ends when the model promises to lower the objective by a smaller share than this.
    max_steps
        Most Newton steps.
    on_step
        Called after each; returns True to stop.
    """
    start = _centred(start)
    with open_passes(data) as passes:
        objective = Objective(passes, penalty, data.total_weight())
        preconditioner = Preconditioner(data, passes, penalty)
        if suits_dual(data, penalty):
            point, steps = _ascended(objective, passes, data, start, tolerance, max_steps)
            on_step(point)
        else:
            point, steps = objective.at(start), 0

        def watch(point: Point) -> bool:
            if not penalty.any():
                _check_overlap(data, passes)
            return on_step(point)

        def divide_at(_point: Point) -> Divide:
            return preconditioner.at(objective.passes)

        return descend(
            objective, point, divide_at, steps=steps, tolerance=tolerance, max_steps=max_steps, on_step=watch
        )


def descend(
    objective: "Objective",
    point: Point,
    divide_at: Callable[[Point], Divide],
    *,
    steps: int,
    tolerance: float,
    max_steps: int,
    on_step: Callable[[Point], bool],
) -> Optimum:
    """Take truncated Newton steps to the optimum.

    Parameters
    ----------
    objective
        Was last computed at the point.
    point
        Where to begin.
    divide_at
        Gives the preconditioner for a point.
    steps
        Those taken already.
    tolerance, max_steps, on_step
        As in `minimise`.
    """
    converged, penalty, passes = False, objective.penalty, objective.rows
    while steps < max_steps and not converged:
        least = max(point.objective, LEAST_OBJECTIVE)
        # The part of the bound that needs no pass over the probabilities is computed first.
        near = gap_of_weights(point, penalty) <= tolerance * least
        if near and (gap := gap_of(point, penalty, passes)) <= tolerance * least:
            return Optimum(point.theta, point.objective, point.loss, gap, steps, objective.passes, True)
        step, decrease = _newton_step(objective, point, divide_at(point))
        following = _searched(objective, point, step)
        if following is None or following.objective >= point.objective:
            # Rounding hides the remaining gain in the objective; the gradient still shows it for one more step.
            converged = decrease <= max(tolerance * least, objective.rounding(point))
            last = objective.at(point.theta + step)
            if np.linalg.norm(last.gradient) < np.linalg.norm(point.gradient):
                point = last
            break
        steps += 1
        converged = decrease <= tolerance * least
        point = following
        if on_step(point):
            break
    gap = gap_of(point, penalty, passes)
    return Optimum(point.theta, point.objective, point.loss, gap, steps, objective.passes, converged)


def gap_of(point: Point, penalty: Array, passes: AnyPasses) -> float:
    """Bound the distance of the objective from its optimum, by the strong convexity that the penalty gives.

    The bias has no penalty; its remaining derivatives count to second order, by the curvature along it.
    """
    return gap_of_weights(point, penalty) + gap_of_bias(point, passes)


def gap_of_weights(point: Point, penalty: Array) -> float:
    """Return the largest gain that the derivatives of weights allow; infinite if one without penalty is not zero."""
    squares = np.einsum("jk,jk->j", point.gradient[:-1], point.gradient[:-1], dtype=np.float64)
    free = penalty[:-1] == 0
    if squares[free].any():
        return float("inf")
    return float((squares[~free] / penalty[:-1][~free]).sum()) / 2


def gap_of_bias(point: Point, passes: AnyPasses) -> float:
    """Return the gain that the derivatives of the bias promise, by the curvature at the last gradient."""
    values, vectors = np.linalg.eigh(passes.bias_curvature())
    along = np.square(point.gradient[-1] @ vectors)[1:]
    return float((along / np.maximum(values[1:], LEAST_CURVATURE)).sum()) / 2


def _check_overlap(data: RegressionData, passes: Passes) -> None:
    """Raise an error if every row has its highest logit at its class: then doubling the weights is always better."""
    target, weight = data.targets.target, data.targets.row_weight
    if target is None:
        return
    prob_of_target = passes.probs()[np.arange(len(target)), target]
    if (prob_of_target if weight is None else prob_of_target[weight > 0]).min() > 0.5:
        raise DataError(
            "Without a penalty there is an optimum only if no weights classify all rows rightly.",
            "These rows are separable: the loss falls without end as the weights grow.",
            "Give a penalty (a finite C).",
        )


class Objective:
    """Mean cross entropy plus penalty, and its derivatives; counts passes over the rows."""

    def __init__(self, passes: AnyPasses, penalty: Array, weight: float) -> None:
        self.rows = passes
        self.penalty = penalty
        self._scale = 1 / weight
        self.passes = 0

    def at(self, theta: Array) -> Point:
        """Return the objective at ``(d + 1, K)`` weights."""
        self.passes += 1
        total, gradient = self.rows.gradient(theta)
        loss = total * self._scale
        gradient *= self._scale
        # In blocks, because the weights of many features may take more memory than the rows.
        for begin in range(0, len(theta), BLOCK):
            block = slice(begin, begin + BLOCK)
            gradient[block] += self.penalty[block, None] * theta[block]
        squares = np.einsum("jk,jk->j", theta, theta, dtype=np.float64)
        return Point(theta, loss + float(self.penalty @ squares) / 2, loss, gradient)

    def rounding(self, point: Point) -> float:
        """Return the size of differences of the objective that are not significant."""
        eps = float(np.finfo(self.rows.real).eps)
        return ROUNDINGS * eps * max(point.objective, LEAST_OBJECTIVE)

    def product(self, direction: Real) -> Real:
        """Return the Hessian at the last gradient times a direction; the next pass overwrites the result."""
        self.passes += 1
        hessian_product = self.rows.product(direction)
        hessian_product *= hessian_product.dtype.type(self._scale)
        hessian_product += as_real(self.penalty[:, None], direction.dtype) * direction
        return hessian_product


def _centred(theta: Array) -> Array:
    """Return weights with sum zero over the classes; an equal shift of all classes changes only the penalty."""
    # Zeros that nothing is written to take no memory.
    centred = np.zeros(theta.shape)
    for part in (slice(-1, None), slice(0, -1)):
        if theta[part].any():
            np.subtract(theta[part], theta[part].mean(axis=1, keepdims=True), out=centred[part])
    return centred


def _ascended(
    objective: Objective, passes: Passes, data: RegressionData, start: Array, tolerance: float, most: int
) -> tuple[Point, int]:
    """Return the point that dual ascent leads to, and the number of its passes."""
    if start[:-1].any():
        point = objective.at(start)
        value = point.objective
        begin = start_at_probs(data, passes, objective.penalty, start, point.gradient)
        del point
    else:
        value = _loss_without_weights(data, start[-1])
        begin = start_at_targets(data, start[-1])
    # The objective falls during the ascent, and the bound by the gradient is larger than the gap of the dual.
    gap = tolerance * max(value, LEAST_OBJECTIVE) / 10
    ascent = ascend(data, float(objective.penalty[0]), begin, gap=gap, max_passes=most)
    del begin
    objective.passes += ascent.passes
    following = objective.at(ascent.theta)
    return following if following.objective < value else objective.at(start), ascent.passes


def _loss_without_weights(data: RegressionData, bias: Array) -> float:
    """Return the mean cross entropy of the same logits for all rows."""
    log_probs = bias - np.logaddexp.reduce(bias)
    return -float(data.class_totals() @ log_probs) / data.total_weight()


def _newton_step(objective: Objective, point: Point, divide: Divide) -> tuple[Array, float]:
    """Return a step, and the decrease of the objective that the quadratic model predicts.

    Everything is in the dtype of the rows; the next step corrects what the model loses by this.
    """
    # Near the optimum the squares of a gradient may be too small for float32.
    scale = float(np.abs(point.gradient).max()) or 1.0
    step, model = truncated_cg(objective.product, objective.rows.widen(-point.gradient / scale), divide)
    if model == 0 and point.gradient.any():
        # The sizes of features differ so much that products overflow; then no decrease can be predicted.
        return np.zeros_like(point.theta), float("inf")
    return step[:, : point.theta.shape[1]] * np.float64(scale), model * scale**2


def truncated_cg(product: Divide, residual: Real, divide: Divide) -> tuple[Real, float]:
    """Minimise a quadratic model by conjugate gradients, as long as iterations gain enough.

    Parameters
    ----------
    product
        The Hessian times a direction; its result may be overwritten.
    residual
        The negative gradient; it is overwritten.
    divide
        The preconditioner.

    Returns
    -------
    The step, and the decrease of the model.
    """
    step, scaled = np.zeros_like(residual), divide(residual)
    direction, size, model = scaled.copy(), float(np.vdot(residual, scaled)), 0.0
    for i in range(1, MOST_PRODUCTS + 1):
        if size <= 0:
            break
        along = product(direction)
        curvature = float(np.vdot(direction, along))
        if curvature <= 0:
            break
        length = size / curvature
        step += residual.dtype.type(length) * direction
        along *= residual.dtype.type(length)
        residual -= along
        decrease = length * size / 2
        model += decrease
        scaled = divide(residual)
        size, before = float(np.vdot(residual, scaled)), size
        # The gain of the next iteration, if the preconditioner were exact, is known without a product.
        if i * decrease <= TRUNCATION * model or (i + 1) * size / 2 <= TRUNCATION * model:
            break
        direction *= residual.dtype.type(size / before)
        direction += scaled
    return step, model


def _searched(objective: Objective, point: Point, step: Array) -> Point | None:
    """Return the point along a step where the objective has fallen and is no longer steep; None if it never falls.

    Another pass for a better length often saves a step. The objective was last computed at the returned point.
    """
    slope, length = _dot(point.gradient, step), 1.0
    lower: Point | None = None
    while length >= SMALLEST_STEP:
        following = objective.at(point.theta + length * step)
        if lower is not None:
            return following if following.objective <= lower.objective else objective.at(lower.theta)
        rise, end = following.objective - point.objective, _dot(following.gradient, step)
        change = lowest_along(slope * length, rise, end * length)
        if rise <= LEAST_SHARE * length * slope:
            if abs(end) <= -STEEP * slope or -slope <= objective.rounding(point):
                return following
            lower = following
        else:
            # If rounding hides the fall, the slopes may ask for longer and longer steps.
            change = min(change, 0.5)
        length *= change
    return None


def _dot(gradient: Real, step: Array) -> float:
    # Unlike np.vdot it makes no wide copy of a narrow gradient.
    return float(np.einsum("jk,jk->", gradient, step, dtype=np.float64))
