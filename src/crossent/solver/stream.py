"""Softmax regression on more rows than memory holds: they come in batches, again for each pass.

The start is the optimum of a sample in memory, and the preconditioner is the Hessian of the sample. Then a few passes
over all rows are enough.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from crossent.kernels.regression import Real, RowTargets, as_real
from crossent.solver.data import RegressionData
from crossent.solver.newton import Objective, Optimum, Point, descend, minimise
from crossent.solver.passes import Divide, Passes, open_passes
from crossent.solver.precondition import Preconditioner
from crossent.threads import open_threads

Array = npt.NDArray[np.float64]
Batches = Callable[[], Iterator[RegressionData]]

# Tolerance of the fit to the sample: its optimum differs from the optimum of all rows by more than this.
SAMPLE_TOLERANCE = 1e-4
# Size of the features of the sample, in bytes.
SAMPLE_BYTES = 1 << 26


class StreamPasses:
    """Computes the sum of the losses and its derivatives by batches; probabilities are computed again each time."""

    def __init__(self, batches: Batches, sample: Passes, pool: ThreadPoolExecutor, threads: int) -> None:
        self.real = sample.real
        self._batches = batches
        self._sample = sample
        self._pool = pool
        self._threads = threads
        self._theta: Array | None = None
        self._curvature: Array | None = None

    def gradient(self, theta: Array) -> tuple[float, Real]:
        """Return the sum of the losses at ``(d + 1, K)`` weights, and its derivatives."""
        self._theta, total, loss, weight = theta, np.zeros(theta.shape), 0.0, 0.0
        self._curvature = np.zeros((theta.shape[1],) * 2)
        for batch in self._batches():
            passes = Passes(batch, self._pool, self._threads)
            of_batch, gradient = passes.gradient(theta)
            loss, weight = loss + of_batch, weight + batch.total_weight()
            total += gradient
            self._curvature += passes.bias_curvature() * batch.total_weight()
        self._curvature /= weight
        return loss, total

    def product(self, direction: Real) -> Real:
        """Return the product of the Hessian, where the gradient was last computed, and a direction, both `widen`ed."""
        assert self._theta is not None
        total = np.zeros(direction.shape)
        for batch in self._batches():
            passes = Passes(batch, self._pool, self._threads)
            passes.gradient(self._theta)
            total += passes.product(direction)
        return as_real(total, self.real)

    def bias_curvature(self) -> Array:
        """Return the ``(K, K)`` Hessian of the mean loss by the bias where the gradient was last computed."""
        assert self._curvature is not None
        return self._curvature

    def widen(self, values: npt.NDArray[np.floating]) -> Real:
        """Return ``(d + 1, K)`` numbers as the kernels take them."""
        return self._sample.widen(values)


def draw_sample(batches: Batches, n: int) -> RegressionData:
    """Read all rows once, and return a random sample, which is the same each time for the same rows.

    Parameters
    ----------
    batches
        Gives all rows, dense and with class indices.
    n
        Number of all rows.
    """
    rng, parts = np.random.default_rng(0), list[RegressionData]()
    for batch in batches():
        share = SAMPLE_BYTES / (n * max(batch.rows.dense.itemsize * batch.rows.features, 1))
        chosen = np.flatnonzero(rng.random(len(batch.rows)) < share)
        target, weight = batch.targets.target, batch.targets.row_weight
        assert target is not None
        parts.append(
            replace(
                batch,
                rows=replace(batch.rows, dense=batch.rows.dense[chosen]),
                targets=RowTargets(target[chosen], None, None if weight is None else weight[chosen]),
            )
        )
    targets = [part.targets.target for part in parts if part.targets.target is not None]
    weights = [part.targets.row_weight for part in parts if part.targets.row_weight is not None]
    joined = RowTargets(
        np.concatenate(targets), None, as_real(np.concatenate(weights), weights[0].dtype) if weights else None
    )
    dense = as_real(np.concatenate([part.rows.dense for part in parts]), parts[0].rows.dense.dtype)
    return RegressionData(replace(parts[0].rows, dense=dense), joined, parts[0].num_classes)


def minimise_stream(
    batches: Batches,
    total_weight: float,
    sample: RegressionData,
    penalty: Array,
    start: Array,
    *,
    tolerance: float,
    max_steps: int,
    on_step: Callable[[Point], bool],
) -> Optimum:
    """Minimise the mean cross entropy plus ``sum of penalty * theta ** 2 / 2``, with memory for a batch and the sample.

    Parameters
    ----------
    batches
        Gives all rows, a batch at a time; called once for each pass.
    total_weight
        Of all rows.
    sample
        A sample of the rows, in memory.
    penalty, start, tolerance, max_steps, on_step
        As in `crossent.solver.newton.minimise`.
    """
    near = minimise(sample, penalty, start, tolerance=SAMPLE_TOLERANCE, max_steps=max_steps, on_step=lambda _: False)
    with open_passes(sample) as of_sample, open_threads() as (pool, threads):
        objective = Objective(StreamPasses(batches, of_sample, pool, threads), penalty, total_weight)
        preconditioner = Preconditioner(sample, of_sample, penalty)

        def divide_at(point: Point) -> Divide:
            # The probabilities of the sample at the point.
            of_sample.gradient(point.theta)
            return preconditioner.at(objective.passes)

        point = objective.at(near.theta)
        return descend(objective, point, divide_at, steps=0, tolerance=tolerance, max_steps=max_steps, on_step=on_step)
