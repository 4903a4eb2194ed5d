"""Conformity scores: how badly each label fits the logits of a row. The higher, the worse."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossent.losses.arrays import log_softmax

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Logits = npt.NDArray[np.floating[Any]]
Method = Literal["lac", "aps", "raps"]

# The penalties that Angelopoulos et al. try, and none, which is APS.
_PENALTIES = (0.0, 0.001, 0.01, 0.1, 0.2, 0.5)


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

    One minus the probability, which the paper takes, orders labels alike, but rounds to 1 below probability 1e-16.

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
    probs = np.exp(log_softmax(logits))
    order = np.argsort(-probs, axis=1)
    ranked = np.take_along_axis(probs, order, axis=1)
    ranked_scores = np.cumsum(ranked, axis=1) - (1 - uniform[:, None]) * ranked
    ranked_scores += rank_penalty.penalty * np.maximum(np.arange(1, probs.shape[1] + 1) - rank_penalty.free_ranks, 0)
    scores = np.empty_like(probs)
    np.put_along_axis(scores, order, ranked_scores, axis=1)
    return scores


def tune_rank_penalty(logits: Logits, target: IntArray, coverage: float, uniform: FloatArray) -> RankPenalty:
    """Choose the penalty of RAPS that makes the smallest sets on rows that the quantile does not rest on.

    As many ranks are free as hold the right label in a share `coverage` of the rows (Angelopoulos et al. 2021).

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
    >>> logits = np.random.default_rng(0).normal(0, 2, (200, 50))
    >>> target = (logits + np.random.default_rng(1).gumbel(size=logits.shape)).argmax(axis=1)
    >>> tune_rank_penalty(logits, target, 0.9, np.random.default_rng(2).random(200)).free_ranks > 1
    True
    """
    # The number of labels at least as high as the right one: its rank, but for ties.
    given = np.take_along_axis(logits, target[:, None], axis=1)
    free_ranks = int(np.quantile((logits >= given).sum(axis=1), coverage, method="inverted_cdf"))
    tried = [RankPenalty(penalty, free_ranks) for penalty in _PENALTIES]
    return min(tried, key=lambda one: _mean_size(aps_scores(logits, uniform, one), target, coverage))


def _mean_size(scores: FloatArray, target: IntArray, coverage: float) -> float:
    given = np.take_along_axis(scores, target[:, None], axis=1)
    return float((scores <= np.quantile(given, coverage, method="higher")).sum(axis=1).mean())
