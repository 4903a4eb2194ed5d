"""Softmax regression with a penalty: from rows to coefficients, and from coefficients to logits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.regression import FeatureRows, SparseRows
from crossent.solver.data import RegressionData
from crossent.solver.elastic import ElasticPenalty, minimise_elastic
from crossent.solver.newton import Optimum, Point, minimise
from crossent.solver.plain import sparse_matrix
from crossent.solver.stream import Batches, minimise_stream

Array = npt.NDArray[np.float64]

# Number of rows whose float64 logits are computed at once.
CHUNK = 16_384


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Weights of a softmax regression.

    Attributes
    ----------
    weight
        ``(d, K)`` float64.
    bias
        ``(K,)`` float64.
    """

    weight: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Penalty:
    """The penalty on large weights, as in scikit-learn's ``LogisticRegression``.

    The objective is
    ``C * sum of cross entropy + sum of factor * (l1_ratio * |weight| + (1 - l1_ratio) * weight^2 / 2)``.

    Attributes
    ----------
    C
        Inverse strength, above 0; infinite for no penalty.
    factor
        ``(d,)``: factor of the penalty of each feature, not negative; ones for equal penalties.
    l1_ratio
        Share of the L1 part, from 0 to 1.
    """

    C: float
    factor: Array
    l1_ratio: float = 0.0


@dataclass(frozen=True, eq=False)
class Solution:
    """A softmax regression, and its distance from the optimum.

    Attributes
    ----------
    coefficients
        The weights.
    optimum
        The report of the solver on them.
    """

    coefficients: Coefficients
    optimum: Optimum


def solve_softmax_regression(
    data: RegressionData,
    start: Coefficients,
    penalty: Penalty,
    *,
    tolerance: float,
    max_steps: int,
    on_step: Callable[[float, Coefficients], bool],
) -> Solution:
    """Minimise the cross entropy with a penalty on the weights; the bias has none.

    Parameters
    ----------
    data
        The rows.
    start
        The start; a solution nearby makes the fit fast.
    penalty
        Its strength and kind.
    tolerance
        It ends when a bound on the distance of the objective from its optimum is a smaller share than this; with only
        an L2 penalty also when the decrease that the last step predicted is.
    max_steps
        Largest number of Newton steps.
    on_step
        Called after each step with the mean cross entropy in nats and the coefficients; returns True to stop.
    """
    strength = np.append(penalty.factor / (penalty.C * data.total_weight()), 0)
    theta = theta_of(start)

    def tell(point: Point) -> bool:
        return on_step(point.loss, Coefficients(point.theta[:-1], point.theta[-1]))

    if penalty.l1_ratio == 0:
        optimum = minimise(data, strength, theta, tolerance=tolerance, max_steps=max_steps, on_step=tell)
    else:
        parts = ElasticPenalty(penalty.l1_ratio * strength, (1 - penalty.l1_ratio) * strength)
        optimum = minimise_elastic(data, parts, theta, tolerance=tolerance, max_steps=max_steps, on_step=tell)
    return _solution(optimum)


def solve_stream(
    batches: Batches,
    total_weight: float,
    sample: RegressionData,
    penalty: Penalty,
    *,
    tolerance: float,
    max_steps: int,
) -> Solution:
    """Do what `solve_softmax_regression` does with an L2 penalty, for rows that come in batches.

    Parameters
    ----------
    batches
        Gives all rows, a batch at a time; called once for each pass.
    total_weight
        Of all rows.
    sample
        A sample of the rows, in memory.
    penalty, tolerance, max_steps
        As in `solve_softmax_regression`.
    """
    start = start_at_prior(sample)
    optimum = minimise_stream(
        batches,
        total_weight,
        sample,
        np.append(penalty.factor / (penalty.C * total_weight), 0),
        theta_of(start),
        tolerance=tolerance,
        max_steps=max_steps,
        on_step=lambda _: False,
    )
    return _solution(optimum)


def theta_of(coefficients: Coefficients) -> Array:
    """Return ``(d + 1, K)`` weights as the solver takes them, the bias last."""
    theta = np.zeros((len(coefficients.weight) + 1, len(coefficients.bias)))
    theta[-1] = coefficients.bias
    # Zeros that nothing is written to take no memory.
    if coefficients.weight.any():
        theta[:-1] = coefficients.weight
    return theta


def _solution(optimum: Optimum) -> Solution:
    # Adding a constant to all classes changes only the look of the bias.
    bias = optimum.theta[-1] - optimum.theta[-1].mean()
    return Solution(Coefficients(optimum.theta[:-1], bias), optimum)


def start_at_prior(data: RegressionData) -> Coefficients:
    """Return weights of zero, and as biases the log of the share of each class, with a little added to each count."""
    counts = data.class_totals()
    shares = counts + counts.sum() / max(len(data.rows), 1) / 2
    return Coefficients(np.zeros((data.rows.features, data.num_classes)), np.log(shares / shares.sum()))


def rows_of_table(numbers: npt.NDArray[np.float32], rows_of_codes: npt.NDArray[np.int64], features: int) -> FeatureRows:
    """Return numbers and category codes as features, the codes as sparse ones.

    Parameters
    ----------
    numbers
        ``(n, p)``: the first p features.
    rows_of_codes
        ``(n, q)``: the feature that each category code stands for.
    features
        d, the number of all.
    """
    sparse = None
    n, q = rows_of_codes.shape
    if q > 0:
        ends = np.arange(n + 1, dtype=np.int64) * q
        ones = np.ones(rows_of_codes.size, numbers.dtype)
        sparse = SparseRows(ends, rows_of_codes.ravel().astype(np.int32), ones)
    return FeatureRows(np.ascontiguousarray(numbers), sparse, features)


def linear_logits(rows: FeatureRows, coefficients: Coefficients) -> Array:
    """Return the ``(n, K)`` float64 logits of a softmax regression, summed in float64."""
    logits = np.empty((len(rows), len(coefficients.bias)))
    weight = coefficients.weight[: rows.dense.shape[1]]
    for begin in range(0, len(rows), CHUNK):
        chunk = rows.take(slice(begin, begin + CHUNK))
        logits[begin : begin + CHUNK] = chunk.dense @ weight + coefficients.bias
        if chunk.sparse is not None:
            logits[begin : begin + CHUNK] += sparse_matrix(chunk) @ coefficients.weight
    return logits
