"""Vector and matrix scaling, shrunk to the temperature solution: a penalised softmax regression on log-probabilities.

The log-probabilities ``x`` of a row become the logits ``x + D x + b``. Deviations from ``x`` are penalised: the bias
``b`` and the diagonal of ``D`` by ``strength * K / n`` times the sum of their squares, the rest of ``D``, which only
matrix scaling has, by ``strength * K * (K - 1) / n``. With more classes there are more weights that chance can spoil;
with more rows chance has less effect.

Arrays are classes first, ``(K, n)``: with few classes, sums over them are then many times as fast.

Source: Berta et al. 2025, "Structured Matrix Scaling for Multi-Class Calibration".
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]
Target = npt.NDArray[np.int64]
Structure = Literal["vector", "matrix"]

# A step that promises a smaller share of the loss is the last one.
TOLERANCE = 1e-5
MOST_STEPS = 50
# Share of the residual, in the norm of the preconditioner, that conjugate gradients leave.
TRUNCATION = 0.03
MOST_PRODUCTS = 200
# Of the decrease that the model promises, the least that must come true (Armijo).
LEAST_SHARE = 1e-4
SMALLEST_STEP = 2.0**-20
# Elements that a thread works on at once.
CHUNK_ELEMENTS = 1 << 18


class Terms(Protocol):
    """How a structure makes logits of ``(K, n)`` features, and derivatives by its weights, which are ``(K, q)``."""

    def change(self, features: FloatArray, weight: FloatArray) -> FloatArray:
        """Return the ``(K, n)`` that the weights add to the features."""
        ...

    def adjoint(self, features: FloatArray, slopes: FloatArray) -> FloatArray:
        """Return the ``(K, q)`` derivatives by the weights, from ``(K, n)`` ones by the logits."""
        ...

    def diagonal(self, features: FloatArray, curvature: FloatArray) -> FloatArray:
        """Return the ``(K, q)`` second derivatives by each weight, from ``(K, n)`` ones by the logits."""
        ...


class VectorTerms:
    """A weight and a bias for each class: q = 2."""

    def change(self, features: FloatArray, weight: FloatArray) -> FloatArray:
        """Do what `Terms` says."""
        found = features * weight[:, :1]
        found += weight[:, 1:]
        return found

    def adjoint(self, features: FloatArray, slopes: FloatArray) -> FloatArray:
        """Do what `Terms` says."""
        return np.stack([np.einsum("kn,kn->k", features, slopes), slopes.sum(axis=1)], axis=1)

    def diagonal(self, features: FloatArray, curvature: FloatArray) -> FloatArray:
        """Do what `Terms` says."""
        return self.adjoint(features**2, curvature)


class MatrixTerms:
    """For each class a weight of the feature of each class, and a bias: q = K + 1."""

    def change(self, features: FloatArray, weight: FloatArray) -> FloatArray:
        """Do what `Terms` says."""
        found = weight[:, :-1] @ features
        found += weight[:, -1:]
        return np.asarray(found)

    def adjoint(self, features: FloatArray, slopes: FloatArray) -> FloatArray:
        """Do what `Terms` says."""
        return np.hstack([slopes @ features.T, slopes.sum(axis=1, keepdims=True)])

    def diagonal(self, features: FloatArray, curvature: FloatArray) -> FloatArray:
        """Do what `Terms` says."""
        return self.adjoint(features**2, curvature)


TERMS: dict[Structure, Terms] = {"vector": VectorTerms(), "matrix": MatrixTerms()}


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Rows to fit to.

    Attributes
    ----------
    features
        ``(K, n)`` log-probabilities, float32 or float64; all passes are in their dtype.
    target
        ``(n,)`` class indices.
    weight
        ``(n,)`` float64 above 0: by these the losses of the rows are averaged.
    """

    features: FloatArray
    target: Target
    weight: Array


@dataclass(frozen=True, eq=False)
class Point:
    """The penalised loss at some ``(K, q)`` weights, and the ``(K, n)`` probabilities there."""

    weight: Array
    value: float
    probs: FloatArray


def penalties(structure: Structure, classes: int, rows: int, strength: float) -> Array:
    """Return what the square of each of the ``(K, q)`` weights costs."""
    own = strength * classes / rows
    if structure == "vector":
        return np.full((classes, 2), own)
    penalty = np.full((classes, classes + 1), own * (classes - 1))
    penalty[np.arange(classes), np.arange(classes)] = own
    penalty[:, -1] = own
    return penalty


def no_change(structure: Structure, classes: int) -> Array:
    """Return the ``(K, q)`` weights that leave the log-probabilities as they are."""
    return np.zeros((classes, 2 if structure == "vector" else classes + 1))


def fit_structured(
    labelled: LabelledFeatures,
    structure: Structure,
    strength: float,
    start: Array,
    pool: ThreadPoolExecutor,
) -> Array:
    """Minimise the weighted mean cross entropy plus penalty by truncated Newton steps; it is convex.

    Parameters
    ----------
    labelled
        The rows.
    structure
        ``"vector"`` or ``"matrix"``.
    strength
        What the penalties are multiplied by.
    start
        ``(K, q)`` weights to begin at: `no_change`, or those of another strength.
    pool
        Threads.

    Returns
    -------
    ``(K, q)`` float64: for each class the weights of features, its own alone in vector scaling, and last its bias.
    """
    penalty = penalties(structure, len(labelled.features), len(labelled.target), strength)
    objective = _Objective(labelled, TERMS[structure], penalty, pool)
    point = objective.at(start)
    for _ in range(MOST_STEPS):
        gradient = objective.gradient(point)
        step = _newton_step(objective, point, gradient)
        promised = -float((gradient * step).sum()) / 2
        following = _shortened(objective, point, step, promised)
        if following is None:
            break
        point = following
        if promised <= TOLERANCE * point.value:
            break
    return point.weight


def structured_losses(
    features: FloatArray, target: Target, structure: Structure, weight: Array, pool: ThreadPoolExecutor
) -> Array:
    """Return the ``(n,)`` cross entropy of each row in nats at ``(K, q)`` weights."""
    labelled = LabelledFeatures(features, target, np.ones(len(target)))
    return _Objective(labelled, TERMS[structure], np.zeros_like(weight), pool).losses(weight)


class _Objective:
    """Weighted mean cross entropy plus penalty, and its derivatives, chunk by chunk in threads."""

    def __init__(self, labelled: LabelledFeatures, terms: Terms, penalty: Array, pool: ThreadPoolExecutor) -> None:
        features, target = labelled.features, labelled.target
        self._features = features
        self._target = target
        self._weight, self._total = labelled.weight, float(labelled.weight.sum())
        # Multiplying by ones would take a tenth of the time, and change nothing.
        differ = bool((labelled.weight != 1).any())
        self._row_weight = labelled.weight.astype(features.dtype) if differ else None
        self._terms = terms
        self._penalty = penalty
        rows = max(1, CHUNK_ELEMENTS // len(features))
        self._chunks = [slice(begin, begin + rows) for begin in range(0, len(target), rows)]
        self._pool = pool

    def at(self, weight: Array) -> Point:
        """Return the objective at some weights."""
        probs = np.empty_like(self._features)
        loss = float(np.average(self.losses(weight, probs), weights=self._weight))
        return Point(weight, loss + float((self._penalty * weight**2).sum()), probs)

    def losses(self, weight: Array, probs: FloatArray | None = None) -> Array:
        """Return the ``(n,)`` cross entropy of each row at some weights, and leave the probabilities in ``probs``."""
        losses, narrow = np.empty(len(self._target)), weight.astype(self._features.dtype)

        def take(chunk: slice) -> None:
            features, target = self._features[:, chunk], self._target[chunk]
            logits = self._terms.change(features, narrow)
            logits += features
            logits -= logits.max(axis=0)
            given = logits[target, np.arange(len(target))]
            np.exp(logits, out=logits)
            total = logits.sum(axis=0)
            losses[chunk] = np.log(total) - given
            if probs is not None:
                np.divide(logits, total, out=probs[:, chunk])

        self._map(take)
        return losses

    def gradient(self, point: Point) -> Array:
        """Return the ``(K, q)`` derivatives by the weights."""

        def take(chunk: slice) -> FloatArray:
            slopes, target = point.probs[:, chunk].copy(), self._target[chunk]
            slopes[target, np.arange(len(target))] -= 1
            return self._terms.adjoint(self._features[:, chunk], self._weigh(slopes, chunk))

        return self._mean(take) + 2 * self._penalty * point.weight

    def product(self, point: Point, direction: Array) -> Array:
        """Return the Hessian times a ``(K, q)`` direction."""
        narrow = direction.astype(self._features.dtype)

        def take(chunk: slice) -> FloatArray:
            features, probs = self._features[:, chunk], point.probs[:, chunk]
            slopes = self._terms.change(features, narrow)
            slopes -= np.einsum("kn,kn->n", slopes, probs)
            slopes *= probs
            return self._terms.adjoint(features, self._weigh(slopes, chunk))

        return self._mean(take) + 2 * self._penalty * direction

    def diagonal(self, point: Point) -> Array:
        """Return the ``(K, q)`` diagonal of the Hessian."""

        def take(chunk: slice) -> FloatArray:
            probs = point.probs[:, chunk]
            return self._terms.diagonal(self._features[:, chunk], self._weigh(probs - probs**2, chunk))

        return self._mean(take) + 2 * self._penalty

    def _mean(self, take: Callable[[slice], FloatArray]) -> Array:
        first, *others = self._map(take)
        total: Array = first.astype(np.float64)
        for other in others:
            total += other
        total /= self._total
        return total

    def _weigh(self, values: FloatArray, chunk: slice) -> FloatArray:
        """Multiply ``(K, m)`` values of m rows by the weights of these, in place, and return them."""
        if self._row_weight is not None:
            values *= self._row_weight[chunk]
        return values

    def _map(self, take: Callable[[slice], Any]) -> list[Any]:
        if len(self._chunks) == 1:
            return [take(self._chunks[0])]
        return list(self._pool.map(take, self._chunks))


def _newton_step(objective: _Objective, point: Point, gradient: Array) -> Array:
    """Minimise the quadratic model by conjugate gradients, preconditioned by the diagonal of the Hessian."""
    diagonal = objective.diagonal(point)
    step, residual = np.zeros_like(gradient), -gradient
    scaled = residual / diagonal
    direction, size = scaled, float((residual * scaled).sum())
    enough = TRUNCATION**2 * size
    for _ in range(MOST_PRODUCTS):
        if size <= enough:
            break
        found = objective.product(point, direction)
        length = size / float((direction * found).sum())
        step = step + length * direction
        residual = residual - length * found
        scaled = residual / diagonal
        size, before = float((residual * scaled).sum()), size
        direction = scaled + size / before * direction
    return step


def _shortened(objective: _Objective, point: Point, step: Array, promised: float) -> Point | None:
    """Return the end of the step, halved until the objective falls; None if it never does."""
    length = 1.0
    while length >= SMALLEST_STEP:
        following = objective.at(point.weight + length * step)
        if following.value <= point.value - 2 * LEAST_SHARE * length * promised:
            return following
        length /= 2
    return None
