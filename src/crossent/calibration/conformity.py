"""Conformity scores: how badly each label fits the logits of a row; higher is worse."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossent.logits import log_softmax

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Logits = npt.NDArray[np.floating[Any]]
Method = Literal["lac", "aps", "raps"]

# The penalties that Angelopoulos et al. try, and none, which is APS; and how many numbers of free ranks.
_PENALTIES = (0.0, 0.001, 0.01, 0.1, 0.2, 0.5)
_FREE_RANKS = 5


@dataclass(frozen=True)
class RankPenalty:
    """What RAPS adds to the scores of improbable labels.

    Attributes
    ----------
    penalty
        Added for each rank beyond the free ones; 0 makes RAPS the same as APS.
    free_ranks
        How many labels of a row, the most probable ones, go without it.
    """

    penalty: float
    free_ranks: int


NO_PENALTY = RankPenalty(0.0, 0)


def lac_scores(logits: Logits) -> FloatArray:
    """Return minus the log-probability of each label, ``(n, K)``.

    One minus the probability, as in the paper, gives the same order of labels, but rounds to 1 below 1e-16.

    Source: Sadinle, Lei and Wasserman 2019, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels".

    Examples
    --------
    >>> lac_scores(np.zeros((1, 2), dtype=np.float32)).round(4)
    array([[0.6931, 0.6931]])
    """
    return -log_softmax(logits)


def aps_scores(logits: Logits, uniform: FloatArray, rank_penalty: RankPenalty = NO_PENALTY) -> FloatArray:
    """Return the probability of all labels more probable than each, and a random part of its own, ``(n, K)``.

    Labels of the same probability are ranked in any order.

    Parameters
    ----------
    logits
        ``(n, K)`` logits.
    uniform
        ``(n,)`` draws between 0 and 1: the part of its own probability that counts for each label of a row.
    rank_penalty
        What RAPS adds; nothing for APS.

    Notes
    -----
    Sources: Romano, Sesia and Candès 2020, "Classification with Valid and Adaptive Coverage"; Angelopoulos, Bates,
    Malik and Jordan 2021, "Uncertainty Sets for Image Classifiers Using Conformal Prediction", for the penalty.

    Examples
    --------
    >>> aps_scores(np.log([[0.5, 0.3, 0.2]]), np.array([0.5])).round(4)
    array([[0.25, 0.65, 0.9 ]])
    """
    order, ranked = _ranked_scores(logits, uniform)
    scores = np.empty_like(ranked)
    np.put_along_axis(scores, order, ranked + _penalties(rank_penalty, ranked.shape[1]), axis=1)
    return scores


def tune_rank_penalty(logits: Logits, target: IntArray, coverage: float, uniform: FloatArray) -> RankPenalty:
    """Choose the penalty of RAPS that makes the smallest sets on rows that the quantile does not rest on.

    The most free ranks that are tried hold the right label in a share `coverage` of the rows; fewer are tried too.

    Parameters
    ----------
    logits, target
        ``(n, K)`` logits and ``(n,)`` class indices of the rows to tune on, of one row or more.
    coverage
        The coverage that the sets are to have.
    uniform
        ``(n,)`` draws between 0 and 1.

    Examples
    --------
    >>> logits, target = np.tile(np.log([[0.5, 0.3, 0.2]]), (10, 1)), np.array([0] * 8 + [1] * 2)
    >>> tune_rank_penalty(logits, target, 0.9, np.full(10, 0.5)).free_ranks <= 2
    True
    """
    order, ranked = _ranked_scores(logits, uniform)
    rank = (order == target[:, None]).argmax(axis=1)
    most = int(np.quantile(rank + 1, coverage, method="inverted_cdf"))
    free = np.unique(np.geomspace(1, most, _FREE_RANKS).round().astype(int))
    tried = [RankPenalty(penalty, int(ranks)) for penalty in _PENALTIES for ranks in free]
    return min(tried, key=lambda one: _mean_size(ranked + _penalties(one, ranked.shape[1]), rank, coverage))


def _ranked_scores(logits: Logits, uniform: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the labels of each row from the most probable down, and their scores without a penalty, ``(n, K)``."""
    probs = np.exp(log_softmax(logits))
    order = np.argsort(-probs, axis=1)
    ranked = np.take_along_axis(probs, order, axis=1)
    return order, np.cumsum(ranked, axis=1) - (1 - uniform[:, None]) * ranked


def _penalties(rank_penalty: RankPenalty, class_count: int) -> FloatArray:
    beyond = np.maximum(np.arange(1, class_count + 1) - rank_penalty.free_ranks, 0)
    return np.asarray(rank_penalty.penalty * beyond, dtype=np.float64)


def _mean_size(ranked: FloatArray, rank: npt.NDArray[np.intp], coverage: float) -> float:
    given = ranked[np.arange(len(rank)), rank]
    return float((ranked <= np.quantile(given, coverage, method="higher")).sum(axis=1).mean())
