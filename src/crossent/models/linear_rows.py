"""Features as softmax regression takes them, dense or sparse, and what its two solvers share.

**Shape.** ``n`` rows, ``d = p + L + t`` features: p numbers, then all L codes of all categories, then t n-grams.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.kinds.blocks import Features
from crossent.models.model import Examples
from crossent.models.objective import Objective
from crossent.solver.regression import rows_of_table
from crossent.threads import processors

# Rows whose logits are computed at once in each thread.
CHUNK = 2048


@dataclass(frozen=True, eq=False)
class LinearSolution:
    """What a solver gives: a ``(d, K)`` weight, a ``(K,)`` bias, and the inverse penalty that it is the optimum of."""

    weight: npt.NDArray[np.floating[Any]]
    bias: npt.NDArray[np.floating[Any]]
    C: float


def dense_rows(features: Features) -> FeatureRows:
    """Return features without n-grams as the solver takes them: numbers first, then category after category."""
    numbers = features.numbers.shape[1]
    first = numbers + np.cumsum((0, *features.cardinalities))[:-1]
    return rows_of_table(features.numbers, features.codes + first, numbers + sum(features.cardinalities))


def sparse_matrix(features: Features) -> scipy.sparse.csr_array:
    """Return all features as ``(n, d)`` compressed sparse rows."""
    n, q = features.codes.shape
    blocks = [scipy.sparse.csr_array(features.numbers)]
    if q:
        columns = features.codes + np.cumsum((0, *features.cardinalities))[:-1]
        ends = np.arange(n + 1, dtype=np.int64) * q
        shape = (n, sum(features.cardinalities))
        blocks.append(scipy.sparse.csr_array((np.ones(n * q, np.float32), columns.ravel(), ends), shape=shape))
    if features.ngrams is not None:
        blocks.append(features.ngrams)
    filled = [block for block in blocks if block.shape[1]]
    return filled[0] if len(filled) == 1 else scipy.sparse.hstack(filled, format="csr")


def sparse_logits(
    matrix: scipy.sparse.csr_array, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the ``(n, K)`` float32 logits of sparse rows."""
    logits = np.empty((matrix.shape[0], len(bias)), np.float32)

    def fill(begin: int) -> None:
        chunk = slice(begin, begin + CHUNK)
        logits[chunk] = matrix[chunk] @ weight + bias

    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(fill, range(0, len(logits), CHUNK)))
    return logits


def row_targets(train: Examples, objective: Objective) -> RowTargets:
    """Return what the rows are to be, and their weights."""
    distribution = objective.distribution(train.learned_target, train.classes)
    target = train.target if distribution is None else None
    return RowTargets(target, distribution, objective.row_weight(train.learned_target, train.weight))


def without_log_prior(bias: npt.NDArray[Any], objective: Objective) -> npt.NDArray[Any]:
    """Return the bias of a model whose logits the loss adds the log-prior to.

    The bias has no penalty, so that the best sum of the two is the best bias of the loss that adds nothing.
    """
    return bias if objective.log_prior is None else (bias - objective.log_prior).astype(bias.dtype)
