"""Temperature scaling: one number that corrects over- and underconfidence.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.threads import open_threads

Array = npt.NDArray[np.float64]
Logits = npt.NDArray[np.floating[Any]]
Target = npt.NDArray[np.int64]

# Bounds of u = log(1 / T). Held-out rows that are all right would ask for T = 0.
LOWEST, HIGHEST = -6.0, 3.0
# How near to the best u; the loss is flat there.
NEAR = 1e-5
MOST_STEPS = 60
# Elements that a thread works on at once: they stay in its cache.
CHUNK_ELEMENTS = 1 << 17


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """The cross entropy of each row at an inverse temperature, all ``(n,)`` float64.

    Attributes
    ----------
    loss
        In nats.
    slope, curvature
        Its derivatives by the inverse temperature.
    """

    loss: Array
    slope: Array
    curvature: Array


@dataclass(frozen=True, eq=False)
class FittedTemperature:
    """The temperature of lowest log-loss.

    Attributes
    ----------
    inverse
        1 / T.
    unscaled, rows
        What each row loses at T = 1, and at T or so near it that it makes no difference.
    """

    inverse: float
    unscaled: ScaledRows
    rows: ScaledRows


def best_temperature(logits: Logits, target: Target, weight: Array | None = None) -> float:
    """Return the temperature of lowest log-loss for ``(n, K)`` logits and ``(n,)`` class indices, by ``(n,)`` weights.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> honest = rng.normal(size=(20_000, 3)).astype(np.float32)
    >>> target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    >>> round(best_temperature(3 * honest, target), 1)
    3.0
    """
    with open_threads() as (pool, _):
        return 1 / fit_temperature(logits, target, pool, weight).inverse


def fit_temperature(
    logits: Logits, target: Target, pool: ThreadPoolExecutor, weight: Array | None = None
) -> FittedTemperature:
    """Find the root of the weighted mean slope by the inverse temperature.

    The loss is convex in 1 / T, so that its slope changes sign once: Newton's steps, and where one leaves the bracket
    of the root, its end, or where that was tried its middle by u = log(1 / T).
    """
    low, high, inverse = math.exp(LOWEST), math.exp(HIGHEST), 1.0
    untested = {low, high}
    unscaled = rows = scaled_rows(logits, target, inverse, pool)
    for _ in range(MOST_STEPS):
        slope, curvature = (float(np.average(each, weights=weight)) for each in (rows.slope, rows.curvature))
        if slope == 0:
            break
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        following = inverse - slope / curvature if curvature > 0 else inverse
        if not low < following < high:
            bound = low if slope > 0 else high
            following = bound if bound in untested else math.sqrt(low * high)
            untested.discard(following)
        near = abs(math.log(following / inverse)) < NEAR
        inverse = following
        if near:
            break
        rows = scaled_rows(logits, target, inverse, pool)
    return FittedTemperature(inverse, unscaled, rows)


def scaled_rows(logits: Logits, target: Target, inverse: float | Array, pool: ThreadPoolExecutor) -> ScaledRows:
    """Return what each row loses where its logits are multiplied by ``inverse``, one for all or ``(n,)``."""
    found = ScaledRows(*(np.empty(len(logits)) for _ in range(3)))
    factors = np.broadcast_to(np.asarray(inverse, logits.dtype), (len(logits),))

    def fill(chunk: slice) -> None:
        centred = logits[chunk] - logits[chunk].max(axis=1, keepdims=True)
        given = centred[np.arange(len(centred)), target[chunk]]
        weight = centred * factors[chunk, None]
        np.exp(weight, out=weight)
        total = weight.sum(axis=1)
        weight *= centred
        mean = weight.sum(axis=1) / total
        found.loss[chunk] = np.log(total) - given * factors[chunk]
        found.slope[chunk] = mean - given
        found.curvature[chunk] = np.einsum("nk,nk->n", weight, centred) / total - mean**2

    for_chunks(fill, logits.shape, pool)
    return found


def for_chunks(work: Callable[[slice], None], shape: tuple[int, ...], pool: ThreadPoolExecutor) -> None:
    """Call a function with every chunk of the rows, in threads where there are several."""
    rows = max(1, CHUNK_ELEMENTS // shape[1])
    chunks = [slice(begin, begin + rows) for begin in range(0, shape[0], rows)]
    if len(chunks) == 1:
        work(chunks[0])
    else:
        list(pool.map(work, chunks))
