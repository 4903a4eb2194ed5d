"""A test of whether probabilities are calibrated: whether labels drawn from them look like the true ones."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from crossent.evaluation.calibration import BINS, bin_of
from crossent.evaluation.catalogue import DRAWS
from crossent.evaluation.metrics import FloatArray, IntArray, check_rows


def calibration_p_value(
    probs: FloatArray, target: IntArray, rng: np.random.Generator, *, sample_weight: FloatArray | None = None
) -> float:
    """Return the p-value of the hypothesis that each row's label was drawn from its probabilities.

    Labels are drawn from the probabilities 199 times. Where the hypothesis holds, the true labels are one draw more,
    and each of these figures of theirs takes every place among the 200 equally often:

    - the calibration error of the predicted label, which over- and underconfidence raise;
    - the classwise calibration error, which classes that are too probable or too improbable raise;
    - the distance of the log-loss from what the probabilities promise: above it they are too sure, below it not enough.

    The p-value is the share of draws whose most extreme place of the three is at least as extreme as that of the true
    labels: at most 5 % of calibrated probabilities get 0.05 or less, however few the rows, and without any bins having
    to be filled.

    Parameters
    ----------
    probs
        ``(n, K)`` float64 probabilities.
    target
        ``(n,)`` class indices.
    rng
        Source of the labels that are drawn.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as in these figures. None: as one.

    Returns
    -------
    float
        1 / 200 to 1.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index is out of range.

    Notes
    -----
    Sources: Bröcker and Smith 2007, "Increasing the Reliability of Reliability Diagrams", for the drawing;
    Vaicenavicius et al. 2019, "Evaluating Model Calibration in Classification", for the test with a calibration error;
    Spiegelhalter 1986, "Probabilistic Prediction in Patient Management and Clinical Trials", for a score against its
    expectation; Westfall and Young 1993, "Resampling-Based Multiple Testing", for the most extreme of several.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> calibration_p_value(np.tile([0.9, 0.1], (100, 1)), np.repeat([0, 1], 50), rng)
    0.005
    """
    check_rows(probs, target)
    probs = probs / probs.sum(axis=1, keepdims=True)
    rows = np.arange(len(target))
    top = probs.argmax(axis=1)
    # Class by class and in one byte: there may be a thousand classes.
    bin_index = np.empty(probs.shape, dtype=np.int8)
    for k in range(probs.shape[1]):
        bin_index[:, k] = bin_of(probs[:, k], BINS)
    weight = np.ones(len(target)) if sample_weight is None else sample_weight
    top_bin, top_expected = bin_index[rows, top], _sums(bin_index[rows, top], weight * probs[rows, top], BINS)
    expected = np.concatenate([_sums(bin_index[:, k], weight * probs[:, k], BINS) for k in range(probs.shape[1])])
    entropy = weight @ scipy.special.entr(probs).sum(axis=1)

    def figures(labels: IntArray) -> tuple[float, float, float]:
        happened = np.bincount(labels * BINS + bin_index[rows, labels], weight, minlength=len(expected))
        right = np.bincount(top_bin, weight * (labels == top), minlength=BINS)
        with np.errstate(divide="ignore"):
            log_loss = 0.0 - (weight * np.log(probs[rows, labels])).sum()
        return np.abs(right - top_expected).sum(), np.abs(happened - expected).sum(), abs(log_loss - entropy)

    drawn = [figures(labels) for labels in draw_labels(probs, DRAWS, rng)]
    return most_extreme_p_value(np.array([figures(target), *drawn]))


def draw_labels(probs: FloatArray, times: int, rng: np.random.Generator) -> list[IntArray]:
    """Draw ``(n,)`` class indices from ``(n, K)`` probabilities, as often as is asked.

    Examples
    --------
    >>> draw_labels(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), 2, np.random.default_rng(0))
    [array([1, 0]), array([1, 0])]
    """
    rows, class_count = probs.shape
    cumulated = probs.cumsum(axis=1)
    # Each row from its number to the next, one after the other: a single sorted array to look all rows up in.
    start = np.arange(rows)
    cumulated /= cumulated[:, -1:].copy()
    cumulated += start[:, None]
    drawn = []
    for _ in range(times):
        place = np.searchsorted(cumulated.ravel(), start + rng.random(rows), side="right")
        drawn.append(np.minimum(place - start * class_count, class_count - 1))
    return drawn


def most_extreme_p_value(figures: FloatArray) -> float:
    """Return the p-value of the first of several draws by the figure of it that is most extreme.

    Parameters
    ----------
    figures
        ``(1 + R, F)`` figures of the case that is judged, and of R draws like it under the hypothesis; large is
        extreme.

    Returns
    -------
    float
        Share of the 1 + R cases that are at least as extreme as the first in the figure where they are most extreme.

    Examples
    --------
    >>> most_extreme_p_value(np.array([[5.0, 0.0], [1.0, 2.0], [2.0, 3.0], [3.0, 1.0]]))
    0.5
    """
    # Of each figure, the share of cases whose figure is as large or larger.
    shares = np.column_stack([_share_as_large(column) for column in figures.T])
    extreme = shares.min(axis=1)
    return float((extreme <= extreme[0]).mean())


def _share_as_large(values: FloatArray) -> FloatArray:
    ordered = np.sort(values)
    return np.asarray(1 - np.searchsorted(ordered, values, side="left") / len(values))


def _sums(bin_index: npt.NDArray[np.integer[Any]], values: FloatArray, bins: int) -> FloatArray:
    return np.asarray(np.bincount(bin_index, weights=values, minlength=bins), dtype=np.float64)
