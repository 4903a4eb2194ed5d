"""Passes over the rows of a softmax regression: its loss and derivatives, chunk by chunk, in threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from crossent.kernels.library import info
from crossent.kernels.regression import Real, RowTargets, add_gradient, add_product, padded_classes, zeros_at_line
from crossent.solver.data import RegressionData
from crossent.solver.plain import add_plain_gradient, add_plain_product
from crossent.threads import open_threads

Array = npt.NDArray[np.float64]
Divide = Callable[[Real], Real]
Item = TypeVar("Item")
Result = TypeVar("Result")

# Number of rows in a chunk: many, so that adding up its sums is worthwhile; few, so that float32 sums stay exact.
CHUNK = 8192
# With more elements in the sums than this, each thread has only one chunk, because each chunk has its own sums.
LARGE_SUMS = 1 << 18


class AnyPasses(Protocol):
    """The interface of rows for a solver, wherever the rows are; `Passes` explains the methods."""

    @property
    def real(self) -> np.dtype[np.floating]:
        """The dtype of the rows."""
        ...

    def gradient(self, theta: Array) -> tuple[float, Real]:
        """Return the sum of the losses, and its derivatives."""
        ...

    def product(self, direction: Real) -> Real:
        """Return the product of the Hessian and a direction."""
        ...

    def bias_curvature(self) -> Array:
        """Return the Hessian of the mean loss by the bias."""
        ...

    def widen(self, values: npt.NDArray[np.floating]) -> Real:
        """Return numbers as the kernels take them."""
        ...


class Passes:
    """Computes the sum of the losses and its derivatives; products use the probabilities of the last gradient."""

    real: np.dtype[np.floating]

    def __init__(self, data: RegressionData, pool: ThreadPoolExecutor, threads: int) -> None:
        self._data = data
        self._pool = pool
        n, width = len(data.rows), padded_classes(data.num_classes)
        self._shape = (data.rows.features + 1, width)
        self._large = self._shape[0] * width > LARGE_SUMS
        count = threads if self._large else max(threads, -(-n // CHUNK))
        self._chunks = [slice(n * i // count, n * (i + 1) // count) for i in range(count)]
        self.real = data.rows.dense.dtype
        self._probs = np.empty((n, data.num_classes), self.real)
        # Reused, because mapping new memory takes as long as filling it.
        self._sums = zeros_at_line((count, *self._shape), self.real)
        self._targets_of_products = _weigh_by_sums(data.targets)
        native = info().available
        self._add_gradient = add_gradient if native else add_plain_gradient
        self._add_product = add_product if native else add_plain_product

    def gradient(self, theta: Array) -> tuple[float, Real]:
        """Return the sum of the losses at ``(d + 1, K)`` weights, and its derivatives, in the rows' dtype if many."""
        losses = self._fill_sums(self.widen(theta))
        total: Real = np.zeros((self._shape[0], self._data.num_classes), self.real if self._large else np.float64)
        for part in self._sums:
            total += part[:, : self._data.num_classes]
        return sum(losses), total

    def _fill_sums(self, weight: Real) -> list[float]:
        def take(i: int) -> float:
            self._sums[i] = 0
            chunk = self._chunks[i]
            rows, targets = self._data.rows.take(chunk), self._data.targets.take(chunk)
            return self._add_gradient(rows, targets, self._data.num_classes, weight, self._probs[chunk], self._sums[i])

        return self.spread(take, range(len(self._chunks)))

    def product(self, direction: Real) -> Real:
        """Return the product of the Hessian, where the gradient was last computed, and a direction, both `widen`ed.

        The next pass writes over it.
        """

        def take(i: int) -> None:
            self._sums[i] = 0
            chunk = self._chunks[i]
            rows, targets = self._data.rows.take(chunk), self._targets_of_products.take(chunk)
            self._add_product(rows, targets, self._data.num_classes, self._probs[chunk], direction, self._sums[i])

        self.spread(take, range(len(self._chunks)))
        first: Real = self._sums[0]
        for other in self._sums[1:]:
            first += other
        return first

    def probs(self) -> Real:
        """Return the ``(n, K)`` probabilities where the gradient was last computed."""
        return self._probs

    def bias_curvature(self) -> Array:
        """Return the ``(K, K)`` Hessian of the mean loss by the bias where the gradient was last computed."""
        weight = self._targets_of_products.row_weight

        def take(chunk: slice) -> Array:
            probs = self._probs[chunk]
            weighted = probs if weight is None else probs * weight[chunk, None]
            # BLAS computes the sums, so that their rounding is the same as in the products.
            totals = np.ones(len(probs), self.real) @ weighted
            return np.asarray(np.diag(totals) - weighted.T @ probs, np.float64)

        return np.asarray(sum(self.by_chunk(take)) / self._data.total_weight())

    def widen(self, values: npt.NDArray[np.floating]) -> Real:
        """Return ``(d + 1, K)`` numbers as the kernels take them: of the dtype of the rows, with columns of zeros."""
        wide = zeros_at_line(self._shape, self.real)
        wide[:, : self._data.num_classes] = values
        return wide

    def by_chunk(self, work: Callable[[slice], Result]) -> list[Result]:
        """Return the results of a function for each chunk of the rows, computed in threads."""
        return self.spread(work, self._chunks)

    def spread(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return the results of a function for each item, computed in threads."""
        return list(self._pool.map(work, items))


@contextmanager
def open_passes(data: RegressionData) -> Iterator[Passes]:
    """Give threads to passes over the rows."""
    with open_threads() as (pool, threads):
        yield Passes(data, pool, threads)


def _weigh_by_sums(targets: RowTargets) -> RowTargets:
    """Return the weights of the rows times the sums of their distributions, which is all that the Hessian needs."""
    if targets.distribution is None:
        return targets
    sums = targets.distribution.sum(axis=1)
    return RowTargets(None, None, sums if targets.row_weight is None else sums * targets.row_weight)
