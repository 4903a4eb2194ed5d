"""Softmax and cross entropy of NumPy logits, for the stages between models and decisions: always in float64."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special


def log_softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return ``(n, K)`` float64 log-probabilities of ``(n, K)`` logits.

    Examples
    --------
    >>> log_softmax(np.zeros((1, 4), dtype=np.float32)).round(4)
    array([[-1.3863, -1.3863, -1.3863, -1.3863]])
    """
    return np.asarray(scipy.special.log_softmax(logits.astype(np.float64), axis=1))


def mean_cross_entropy(logits: npt.NDArray[np.floating[Any]], target: npt.NDArray[np.int64]) -> float:
    """Return the mean cross entropy in nats of ``(n, K)`` logits and ``(n,)`` class indices.

    Examples
    --------
    >>> round(mean_cross_entropy(np.zeros((5, 4), dtype=np.float32), np.arange(5) % 4), 4)
    1.3863
    """
    return float(-np.take_along_axis(log_softmax(logits), target[:, None], axis=1).mean())
