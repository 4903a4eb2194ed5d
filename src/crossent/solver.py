"""Softmax regression to its optimum: arrays in, arrays out."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.sparse
from threadpoolctl import threadpool_limits

Array = npt.NDArray[np.float64]

# Rows that a thread works on at once: enough for fast matrix products, few enough for float64 copies to stay in cache.
CHUNK = 16_384


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Weights of a softmax regression with number and category features.

    Attributes
    ----------
    weight
        ``(p + L, K)`` float64; the first p rows belong to the numbers, the others to the codes of all categories.
    bias
        ``(K,)`` float64.
    """

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SolverData:
    """Rows to fit.

    Attributes
    ----------
    numbers
        ``(n, p)`` float32.
    rows_of_codes
        ``(n, q)`` int64: the row of the weight that each category code stands for, so that one-hot columns are never
        built.
    target
        ``(n,)`` int64 class indices.
    """

    numbers: npt.NDArray[np.float32]
    rows_of_codes: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]


def solve_softmax_regression(
    data: SolverData,
    start: Coefficients,
    *,
    C: float,  # noqa: N803 - the name that scikit-learn gave it
    tolerance: float,
    max_iterations: int,
    on_iteration: Callable[[float, Coefficients], bool],
) -> Coefficients:
    """Minimise ``C * sum of cross entropy + ||weight||^2 / 2``; the bias is not penalised.

    Parameters
    ----------
    data
        The rows.
    start
        Where to begin; a near solution makes it fast.
    C
        Inverse penalty strength, as in scikit-learn's ``LogisticRegression``.
    tolerance
        Ends when an iteration lowers the objective by a smaller share of it than this.
    max_iterations
        Most iterations of L-BFGS (Liu and Nocedal 1989).
    on_iteration
        Told the mean cross entropy in nats and the coefficients after each iteration; returns True to stop.
    """
    n = len(data.target)
    chunks = _chunks(data.numbers, data.rows_of_codes, data.target, len(start.weight))

    def unpack(flat: Array) -> Coefficients:
        return Coefficients(flat[: start.weight.size].reshape(start.weight.shape), flat[start.weight.size :])

    def penalty(coefficients: Coefficients) -> float:
        return float((coefficients.weight**2).sum()) / (2 * C * n)

    # BLAS has threads of its own; they wait by spinning, and so take the processors from the threads over chunks.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(_processors()) as pool:

        def objective(flat: Array) -> tuple[float, Array]:
            coefficients = unpack(flat)
            parts = list(pool.map(partial(_loss_and_gradient, coefficients=coefficients), chunks))
            loss, weight_gradient, bias_gradient = (sum(part) / n for part in zip(*parts, strict=True))
            weight_gradient += coefficients.weight / (C * n)
            return float(loss + penalty(coefficients)), np.concatenate([weight_gradient.ravel(), bias_gradient])

        # SciPy looks at the name of this parameter.
        def callback(intermediate_result: scipy.optimize.OptimizeResult) -> None:
            coefficients = unpack(intermediate_result.x)
            if on_iteration(float(intermediate_result.fun) - penalty(coefficients), coefficients):
                raise StopIteration

        flat = np.concatenate([start.weight.ravel(), start.bias])
        options = {"maxiter": max_iterations, "gtol": tolerance, "ftol": tolerance, "maxcor": 20}
        found = scipy.optimize.minimize(
            objective, flat, jac=True, method="L-BFGS-B", callback=callback, options=options
        )
    return unpack(found.x)


def linear_logits(
    numbers: npt.NDArray[np.float32], rows_of_codes: npt.NDArray[np.int64], coefficients: Coefficients
) -> Array:
    """Return the ``(n, K)`` float64 logits of a softmax regression, summed in float64."""
    target = np.zeros(len(numbers), dtype=np.int64)
    chunks = _chunks(numbers, rows_of_codes, target, len(coefficients.weight))
    return np.concatenate([_logits(chunk, coefficients) for chunk in chunks])


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some rows: the numbers, the category codes as sparse one-hot rows of the weight's height, and the labels."""

    numbers: npt.NDArray[np.float32]
    one_hot: scipy.sparse.csr_array
    target: npt.NDArray[np.int64]


def _chunks(
    numbers: npt.NDArray[np.float32], rows_of_codes: npt.NDArray[np.int64], target: npt.NDArray[np.int64], height: int
) -> list[_Chunk]:
    chunks = []
    for i in range(0, max(len(numbers), 1), CHUNK):
        rows = rows_of_codes[i : i + CHUNK]
        ends = np.arange(len(rows) + 1) * rows.shape[1]
        one_hot = scipy.sparse.csr_array((np.ones(rows.size), rows.ravel(), ends), shape=(len(rows), height))
        chunks.append(_Chunk(numbers[i : i + CHUNK], one_hot, target[i : i + CHUNK]))
    return chunks


def _logits(chunk: _Chunk, coefficients: Coefficients) -> Array:
    weight = coefficients.weight[: chunk.numbers.shape[1]]
    return np.asarray(chunk.numbers @ weight + chunk.one_hot @ coefficients.weight + coefficients.bias)


def _loss_and_gradient(chunk: _Chunk, coefficients: Coefficients) -> tuple[float, Array, Array]:
    """Return the sum of the cross entropy and its gradients: ``probs - one_hot`` carried back through the features."""
    rows = np.arange(len(chunk.target))
    logits = _logits(chunk, coefficients)
    logits -= logits.max(axis=1, keepdims=True)
    given = logits[rows, chunk.target].sum()
    residual = np.exp(logits, out=logits)
    sums = residual.sum(axis=1, keepdims=True)
    residual /= sums
    residual[rows, chunk.target] -= 1
    weight_gradient = chunk.one_hot.T @ residual
    weight_gradient[: chunk.numbers.shape[1]] += chunk.numbers.T @ residual
    return float(np.log(sums).sum() - given), weight_gradient, residual.sum(axis=0)


def _processors() -> int:
    # Fewer than the machine has where this process may not use them all.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
