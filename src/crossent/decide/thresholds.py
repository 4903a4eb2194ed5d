"""Thresholds of the classes: decisions for macro-F1 or another score of labels, in place of the most probable class."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.array_checks import check_probs_array, check_target_array
from crossent.decide.macro_f1 import macro_f1, macro_f1_of_prefixes
from crossent.errors import SettingError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
# A function from the true and the predicted classes to a score; higher is better.
LabelScore = Callable[[IntArray, IntArray], float]

_FOLDS = 5
_MOST_SWEEPS = 3
# Number of thresholds that are tried for a class if the score must be computed again for each.
_TRIED = 24
# The gain on rows that did not choose the thresholds must be above this many standard errors.
_STANDARD_ERRORS = 1.0
_RESAMPLES = 100
_LEAST = 1e-9
# A gain below this is rounding.
_ROUNDING = 1e-12

# From how many times as probable class k is as the best of the others (n,), that other class (n,), the target and k, to
# the threshold of this ratio above which k had best be predicted, and the score then.
_Choose = Callable[[FloatArray, IntArray, IntArray, int], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds of the classes, and their gain.

    Attributes
    ----------
    values
        ``(K,)`` thresholds above 0, which sum to 1: the class with the largest probability / threshold is predicted.
        With two classes, class 1 is predicted above the probability ``values[1]``. All are equal if tuning does not
        help.
    score_equal
        The score of the most probable class on the held-out rows.
    score_tuned
        The score with tuned thresholds, each row decided by thresholds that other rows chose.
    """

    values: FloatArray
    score_equal: float
    score_tuned: float


def apply_thresholds(probs: npt.ArrayLike, thresholds: npt.ArrayLike) -> IntArray:
    """Return the class of the largest probability / threshold for each row, ``(n,)``; of equal ones the first.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    thresholds
        ``(K,)`` above 0. A class with a low threshold is predicted more often.

    Raises
    ------
    ShapeError
        If the probabilities are not ``(n, K)`` rows from 0 to 1 that sum to 1.
    SettingError
        If the thresholds are not K finite numbers above 0.

    Examples
    --------
    >>> apply_thresholds([[0.7, 0.3], [0.9, 0.1]], [0.8, 0.2])
    array([1, 0])
    """
    checked, values = np.asarray(probs), np.asarray(thresholds, dtype=np.float64)
    check_probs_array("probs", checked)
    if values.shape != checked.shape[1:] or not (np.isfinite(values) & (values > 0)).all():
        raise SettingError(
            f"Thresholds are {checked.shape[1]} finite numbers above 0, one for each class.",
            f"They are {values}, of shape {values.shape}.",
            "Give those of tune_thresholds, in the order of the columns.",
        )
    return _decide(checked.astype(np.float64), values)


def tune_thresholds(
    probs: npt.ArrayLike, target: npt.ArrayLike, *, scoring: str | LabelScore = "f1_macro", seed: int = 0
) -> Thresholds:
    """Choose the threshold of each class that makes a score of the labels best, on held-out rows.

    One class after another takes the threshold that is best together with the present thresholds of the others, until
    no class improves. The gain is cross-validated: if it is not above its standard error, all thresholds stay equal.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities of rows that the model was not fitted to.
    target
        ``(n,)`` class indices.
    scoring
        The name of a scikit-learn scorer that judges labels, or a function of the true and the predicted class indices,
        where higher is better. ``"f1_macro"`` tries every threshold that matters, other scores 24 for each class and
        round.
    seed
        Of the folds and of the bootstrap behind the standard error.

    Raises
    ------
    ShapeError
        If shapes do not fit, there are no rows, a class index is out of range or a row does not sum to 1.
    SettingError
        If the scorer is unknown or needs more than labels.

    Notes
    -----
    Source: Lipton, Elkan and Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure", for why
    the best thresholds of F1 lie below one half; Fan and Lin 2007, "A Study on Threshold Selection for Multi-label
    Classification", for the cyclic search.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rare = rng.beta(1, 9, size=4000)
    >>> target = (rng.random(4000) < rare).astype(int)
    >>> tuned = tune_thresholds(np.column_stack([1 - rare, rare]), target)
    >>> bool(tuned.values[1] < 0.3), bool(tuned.score_tuned > tuned.score_equal)
    (True, True)
    """
    checked, labels = np.asarray(probs), np.asarray(target)
    check_probs_array("probs", checked)
    check_target_array("target", labels, *checked.shape)
    score, choose = _scoring(scoring, checked.shape[1])
    # Probabilities of 0 would need thresholds of 0.
    rows = np.maximum(checked.astype(np.float64), _LEAST)
    equal = np.full(rows.shape[1], 1 / rows.shape[1])
    rng = np.random.default_rng(seed)
    before = _decide(rows, equal)
    score_before = score(labels, before)
    after = _cross_fitted(rows, labels, score, choose, rng)
    score_after = score(labels, after)
    gain = score_after - score_before
    if gain <= 0 or gain <= _STANDARD_ERRORS * _spread_of_gain(labels, before, after, score, rng):
        return Thresholds(equal, score_before, score_after)
    return Thresholds(_ascend(rows, labels, score, choose), score_before, score_after)


def _scoring(scoring: str | LabelScore, class_count: int) -> tuple[LabelScore, _Choose]:
    if scoring == "f1_macro":
        return macro_f1, _every_threshold
    if isinstance(scoring, str):
        from crossent.decide.named_score import named_score  # noqa: PLC0415 - imports much of scikit-learn

        scoring = named_score(scoring, class_count)
    return scoring, _few_thresholds(scoring)


def _decide(probs: FloatArray, thresholds: FloatArray) -> IntArray:
    return np.asarray((probs / thresholds).argmax(axis=1), dtype=np.int64)


def _ascend(probs: FloatArray, target: IntArray, score: LabelScore, choose: _Choose) -> FloatArray:
    class_count = probs.shape[1]
    thresholds = np.full(class_count, 1 / class_count)
    best = score(target, _decide(probs, thresholds))
    scaled = probs / thresholds
    every_row = np.arange(len(probs))
    for _ in range(_MOST_SWEEPS):
        start = best
        for k in range(class_count):
            scaled[:, k] = 0.0
            rest = scaled.argmax(axis=1)
            threshold, reached = choose(probs[:, k] / scaled[every_row, rest], rest, target, k)
            if reached > best + _ROUNDING:
                thresholds[k], best = threshold, reached
            scaled[:, k] = probs[:, k] / thresholds[k]
        if not best > start + _ROUNDING:
            break
    return np.asarray(thresholds / thresholds.sum())


def _every_threshold(ratio: FloatArray, rest: IntArray, target: IntArray, k: int) -> tuple[float, float]:
    order = np.argsort(-ratio, kind="stable")
    sorted_ratio = ratio[order]
    scores = macro_f1_of_prefixes(rest[order], target[order], k)
    # Half way by ratio between two neighbours that differ; beyond the last ones, twice as far.
    upper = np.append(4 * sorted_ratio[0], sorted_ratio)
    lower = np.append(sorted_ratio, sorted_ratio[-1] / 4)
    scores[upper <= lower] = -np.inf
    chosen = int(scores.argmax())
    return float(np.sqrt(upper[chosen] * lower[chosen])), float(scores[chosen])


def _few_thresholds(score: LabelScore) -> _Choose:
    def choose(ratio: FloatArray, rest: IntArray, target: IntArray, k: int) -> tuple[float, float]:
        # Quantiles of the rows of class k, because these rows determine the effect of a threshold.
        ratio_of_class = ratio[target == k] if (target == k).any() else ratio
        tried = np.unique(np.quantile(ratio_of_class, np.linspace(0, 1, _TRIED))) * (1 - _ROUNDING)
        scores = [score(target, np.where(ratio > threshold, k, rest)) for threshold in tried]
        chosen = int(np.argmax(scores))
        return float(tried[chosen]), float(scores[chosen])

    return choose


def _cross_fitted(
    probs: FloatArray, target: IntArray, score: LabelScore, choose: _Choose, rng: np.random.Generator
) -> IntArray:
    """Return decisions by thresholds that other rows chose."""
    # In random order within each class, and assigned in turn, so that every fold has about the same share of each
    # class.
    fold = np.empty(len(target), dtype=np.int64)
    fold[np.lexsort((rng.random(len(target)), target))] = np.arange(len(target)) % _FOLDS
    decided = np.empty(len(target), dtype=np.int64)
    for i in np.unique(fold):
        in_fold, rest = fold == i, fold != i
        decided[in_fold] = (
            _decide(probs[in_fold], _ascend(probs[rest], target[rest], score, choose)) if rest.any() else 0
        )
    return decided


def _spread_of_gain(
    target: IntArray, before: IntArray, after: IntArray, score: LabelScore, rng: np.random.Generator
) -> float:
    """Return the standard error of the gain, by resampling rows."""
    gains = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(len(target), size=len(target))
        gains.append(score(target[rows], after[rows]) - score(target[rows], before[rows]))
    return float(np.std(gains))
