"""Abstention: leaving rows of low confidence unanswered, for a given coverage or a given risk."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from crossent.array_checks import check_probs_array, check_target_array
from crossent.errors import SettingError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Each threshold at which a risk is tested answers this share of the rows of the threshold before.
_STEP = 0.9


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """What share of the answers is wrong if only rows of a confidence at or above a threshold are answered.

    The confidence of a row is the probability of the class that is answered, usually its most probable one.

    Attributes
    ----------
    threshold
        ``(t,)`` the distinct confidences, from the highest down.
    answered
        ``(t,)`` number of rows that are answered at each threshold; all rows at the last one.
    wrong
        ``(t,)`` number of wrong answers among these.
    area
        Area under the curve of risk over coverage, from 0 (best) to 1: the mean risk over all numbers of answered rows,
        with rows of the same confidence in random order.
    """

    threshold: FloatArray
    answered: IntArray
    wrong: IntArray
    area: float

    @property
    def coverage(self) -> FloatArray:
        """The share of rows that is answered at each threshold, ``(t,)``."""
        return np.asarray(self.answered / self.answered[-1])

    @property
    def risk(self) -> FloatArray:
        """The share of answers that is wrong at each threshold, ``(t,)``."""
        return np.asarray(self.wrong / self.answered)


def risk_coverage(
    probs: npt.ArrayLike, target: npt.ArrayLike, *, predicted: npt.ArrayLike | None = None
) -> RiskCoverage:
    """Return how the share of wrong answers falls as rows of low confidence are left unanswered.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities of held-out rows.
    target
        ``(n,)`` class indices.
    predicted
        ``(n,)`` class indices that are answered, as by `crossent.minimum_cost` or `crossent.apply_thresholds`. The
        confidence is then the probability of these. None: the most probable classes.

    Raises
    ------
    ShapeError
        If shapes do not fit, there are no rows, a class index is out of range or a row does not sum to 1.

    Notes
    -----
    Source: Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks"; Geifman, Uziel and El-Yaniv
    2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", for the area.

    Examples
    --------
    >>> curve = risk_coverage([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], [0, 0, 1, 1])
    >>> curve.coverage, curve.risk, curve.area
    (array([0.25, 0.5 , 0.75, 1.  ]), array([0.  , 0.  , 0.  , 0.25]), 0.0625)
    """
    checked, labels = np.asarray(probs), np.asarray(target)
    check_probs_array("probs", checked)
    check_target_array("target", labels, *checked.shape)
    answers = checked.argmax(axis=1) if predicted is None else np.asarray(predicted)
    check_target_array("predicted", answers, *checked.shape)
    confidence = np.take_along_axis(checked, answers[:, None], axis=1)[:, 0].astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    confidence = confidence[order]
    wrong = np.cumsum(answers[order] != labels[order])
    last = np.flatnonzero(np.append(confidence[:-1] != confidence[1:], True))
    counts = np.arange(1, len(labels) + 1)
    expected = np.interp(counts, np.append(0, last + 1), np.append(0, wrong[last]))
    return RiskCoverage(
        threshold=confidence[last],
        answered=(last + 1).astype(np.int64),
        wrong=wrong[last].astype(np.int64),
        area=float((expected / counts).mean()),
    )


def threshold_for_coverage(curve: RiskCoverage, coverage: float) -> np.float64:
    """Return the highest confidence threshold that still answers a share `coverage` of the rows, or more.

    Answer a row where ``probs.max(axis=1) >= threshold``.

    Parameters
    ----------
    curve
        Of rows held out.
    coverage
        Above 0, at most 1.

    Raises
    ------
    SettingError
        If the coverage is outside its bounds.

    Examples
    --------
    >>> curve = risk_coverage([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], [0, 0, 1, 1])
    >>> float(threshold_for_coverage(curve, 0.5))
    0.8
    """
    if not 0 < coverage <= 1:
        raise SettingError(
            "coverage is above 0 and at most 1.", f"It is {coverage!r}.", "Give 0.9 for 90 % of the rows."
        )
    # Rounded, because the coverage often is an exact share of the rows.
    rows = int(np.ceil(round(coverage * int(curve.answered[-1]), 9)))
    return np.float64(curve.threshold[np.searchsorted(curve.answered, rows)])


def threshold_for_risk(curve: RiskCoverage, risk: float, *, level: float = 0.95) -> np.float64:
    """Return a confidence threshold with a promise: of the rows answered, a share of at most `risk` is wrong.

    Answer a row where its confidence is at or above the threshold: ``probs.max(axis=1) >= threshold``, or the
    probability of the class that is answered where that is another. With probability `level` over the draw of the rows
    held out, the risk of new rows from the same source is at most what is asked for. So the risk on the held-out rows
    lies below.

    Parameters
    ----------
    curve
        The curve of held-out rows, which neither the model nor its calibration was fitted to.
    risk
        Share of answers that may be wrong, between 0 and 1.
    level
        Between 0 and 1.

    Returns
    -------
    np.float64
        The threshold, of those that can be promised the one that answers most; 0 where every row can be answered.

    Raises
    ------
    SettingError
        If a setting is outside its bounds, or no threshold can be promised that risk; it says which risk can be.

    Notes
    -----
    Thresholds that answer all rows, 0.9 of them, 0.9² of them and so on are tested by the upper bound of Clopper and
    Pearson 1934, with a share of what may go wrong for each. Source: Geifman and El-Yaniv 2017, as in `risk_coverage`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> chance = rng.uniform(0.5, 1, 2000)
    >>> probs, target = np.column_stack([chance, 1 - chance]), (rng.random(2000) > chance).astype(int)
    >>> round(float(threshold_for_risk(risk_coverage(probs, target), 0.1)), 2)
    0.88
    """
    for name, value in (("risk", risk), ("level", level)):
        if not 0 < value < 1:
            raise SettingError(
                f"{name} is between 0 and 1, both excluded.", f"It is {value!r}.", "Choose such a value."
            )
    rows = int(curve.answered[-1])
    counts = _tested_counts(rows, risk, level)
    if not len(counts):
        needed = int(np.ceil(np.log1p(-level) / np.log1p(-risk)))
        raise SettingError(
            f"A promise of a risk of {risk:g} needs at least {needed} held-out rows, even if all are answered rightly.",
            f"There are {rows}.",
            "Allow more risk, or hold out more rows.",
        )
    # If rows are answered above the confidence of one held-out row, the other rows above it are a sample of those
    # answered.
    position = np.searchsorted(curve.answered, counts + 1) - 1
    tested = position >= 0
    position = np.where(tested, position, 0)
    answered = np.where(counts < rows, curve.answered[position], rows)
    wrong = np.where(counts < rows, curve.wrong[position], curve.wrong[-1])
    bound = np.where(tested, _upper_bound(wrong, answered, (1 - level) / len(counts)), 1.0)
    promised = np.flatnonzero(bound <= risk)
    if not len(promised):
        raise SettingError(
            f"A risk of {risk:g} at level {level:g} is promised only if the held-out rows confirm it.",
            f"The lowest risk that they confirm, for some part of the rows, is about {bound.min():.3g}.",
            "Allow more risk, hold out more rows, or improve the model.",
        )
    first = int(promised[0])
    if counts[first] == rows:
        return np.float64(0.0)
    # A float64 of NumPy, which float32 probabilities are compared with as they are: a Python float would be rounded.
    return np.float64(np.nextafter(curve.threshold[position[first] + 1], 2.0))


def _tested_counts(rows: int, risk: float, level: float) -> IntArray:
    """Return the number of rows that each tested threshold answers, by the settings alone; largest first."""
    counts = np.unique(np.floor(rows * _STEP ** np.arange(200)).astype(np.int64))[::-1]
    while len(counts) and _upper_bound(np.zeros(1, dtype=np.int64), counts[-1:], (1 - level) / len(counts))[0] > risk:
        counts = counts[:-1]
    return counts


def _upper_bound(wrong: IntArray, answered: IntArray, error: float) -> FloatArray:
    right = answered - wrong
    return np.where(right > 0, betaincinv(wrong + 1, np.maximum(right, 1), 1 - error), 1.0)
