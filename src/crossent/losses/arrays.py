"""Softmax and cross entropy of NumPy logits, for the stages between models and decisions: always in float64.

No torch and no OpenMP, so that a child of `os.fork` can compute them too, whatever its parent did.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.kernels.library import info
from crossent.kernels.log_softmax import write_log_softmax
from crossent.kernels.regression import Real, as_real
from crossent.threads import processors

# Elements that one thread computes in less time than others take to begin.
ELEMENTS_FOR_THREADS = 1 << 18


def log_softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return ``(n, K)`` float64 log-probabilities of ``(n, K)`` logits.

    The bits do not depend on the number of threads.

    Examples
    --------
    >>> log_softmax(np.zeros((1, 4), dtype=np.float32)).round(4)
    array([[-1.3863, -1.3863, -1.3863, -1.3863]])
    """
    given = as_real(logits, np.float32 if logits.dtype == np.float32 else np.float64)
    log_probs = np.empty(given.shape)
    write = write_log_softmax if info().available else _write_plain
    if given.size < ELEMENTS_FOR_THREADS:
        write(given, log_probs)
        return log_probs
    threads = processors()
    ends = [len(given) * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        parts = [slice(begin, end) for begin, end in itertools.pairwise(ends)]
        list(pool.map(lambda part: write(given[part], log_probs[part]), parts))
    return log_probs


def _write_plain(logits: Real, log_probs: npt.NDArray[np.float64]) -> None:
    """Do what `write_log_softmax` does."""
    with np.errstate(invalid="ignore"):
        np.subtract(logits, logits.max(axis=1, keepdims=True, initial=-np.inf), out=log_probs, dtype=np.float64)
        log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))


def mean_cross_entropy(logits: npt.NDArray[np.floating[Any]], target: npt.NDArray[np.int64]) -> float:
    """Return the mean cross entropy in nats of ``(n, K)`` logits and ``(n,)`` class indices.

    Examples
    --------
    >>> round(mean_cross_entropy(np.zeros((5, 4), dtype=np.float32), np.arange(5) % 4), 4)
    1.3863
    """
    return float(-np.take_along_axis(log_softmax(logits), target[:, None], axis=1).mean())
