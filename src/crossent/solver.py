"""Softmax regression to its optimum: arrays in, arrays out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from threadpoolctl import threadpool_limits

# Rows worked on at once: large enough for fast matrix products, small enough that float64 copies stay in the cache.
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
    shape = start.weight.shape
    n = len(data.target)

    def unpack(flat: npt.NDArray[np.float64]) -> Coefficients:
        return Coefficients(flat[: start.weight.size].reshape(shape), flat[start.weight.size :])

    def penalty(coefficients: Coefficients) -> float:
        return float((coefficients.weight**2).sum()) / (2 * C * n)

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        coefficients = unpack(flat)
        loss, weight_gradient, bias_gradient = _loss_and_gradient(data, coefficients)
        weight_gradient = weight_gradient / n + coefficients.weight / (C * n)
        return loss / n + penalty(coefficients), np.concatenate([weight_gradient.ravel(), bias_gradient / n])

    # SciPy looks at the name of this parameter.
    def callback(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        coefficients = unpack(intermediate_result.x)
        if on_iteration(float(intermediate_result.fun) - penalty(coefficients), coefficients):
            raise StopIteration

    options = {
        "maxiter": max_iterations,
        "maxfun": 2 * max_iterations,
        "gtol": tolerance,
        "ftol": tolerance,
        "maxcor": 20,
    }
    flat = np.concatenate([start.weight.ravel(), start.bias])
    # SciPy's BLAS has threads of its own, which wait by spinning and so take the processors from torch's.
    with threadpool_limits(limits=1, user_api="blas"):
        result = scipy.optimize.minimize(
            objective, flat, jac=True, method="L-BFGS-B", callback=callback, options=options
        )
    return unpack(result.x)


def linear_logits(
    numbers: npt.NDArray[np.float32], rows_of_codes: npt.NDArray[np.int64], coefficients: Coefficients
) -> npt.NDArray[np.float64]:
    """Return the ``(n, K)`` logits of a softmax regression, summed in float64."""
    weight, bias = torch.from_numpy(coefficients.weight), torch.from_numpy(coefficients.bias)
    chunks = [
        _logits(torch.from_numpy(numbers[i : i + CHUNK]), torch.from_numpy(rows_of_codes[i : i + CHUNK]), weight, bias)
        for i in range(0, max(len(numbers), 1), CHUNK)
    ]
    return torch.cat(chunks).numpy()


def _logits(numbers: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    logits = torch.addmm(bias, numbers.to(weight.dtype), weight[: numbers.shape[1]])
    if rows.shape[1]:
        logits = logits + torch.nn.functional.embedding_bag(rows, weight, mode="sum")
    return logits


def _loss_and_gradient(
    data: SolverData, coefficients: Coefficients
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the sum of the cross entropy and its gradients, ``probs - one_hot`` carried back through the features."""
    weight, bias = torch.from_numpy(coefficients.weight), torch.from_numpy(coefficients.bias)
    weight_gradient, bias_gradient = torch.zeros_like(weight), torch.zeros_like(bias)
    total = 0.0
    for i in range(0, len(data.target), CHUNK):
        numbers = torch.from_numpy(data.numbers[i : i + CHUNK]).to(weight.dtype)
        rows = torch.from_numpy(data.rows_of_codes[i : i + CHUNK])
        target = torch.from_numpy(data.target[i : i + CHUNK]).unsqueeze(1)
        log_probs = torch.log_softmax(_logits(numbers, rows, weight, bias), dim=1)
        total -= float(log_probs.gather(1, target).sum())
        residual = log_probs.exp_().scatter_add_(1, target, -torch.ones_like(log_probs[:, :1]))
        weight_gradient[: numbers.shape[1]] += numbers.T @ residual
        for column in rows.T:
            weight_gradient.index_add_(0, column, residual)
        bias_gradient += residual.sum(dim=0)
    return total, weight_gradient.numpy(), bias_gradient.numpy()
