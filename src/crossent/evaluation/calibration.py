"""Calibration: whether what was given probability 0.8 happens in 80 % of the cases."""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from crossent.errors import SettingError, ShapeError
from crossent.evaluation.metrics import Counts, FloatArray, IntArray, Scores, as_counts, check_rows
from crossent.evaluation.result import Reliability

BINS = 15  # as in Guo et al. 2017, so that figures can be compared
_TOLERANCE = 1e-4  # rounding of probabilities that were computed in float32 or less


def reliability(
    probability: Scores,
    outcome: npt.NDArray[np.bool_],
    bins: int = BINS,
    *,
    sample_weight: FloatArray | None = None,
) -> Reliability:
    """Bin predicted probabilities of one event and compare each bin with how often the event happened.

    The bins have equal width. Their edges then do not depend on the rows, so that two models, or two resamples of the
    rows, are compared bin by bin, and calibration errors agree with the published ones. The price is that a bin can
    hold few rows; its interval shows it.

    Parameters
    ----------
    probability
        ``(n,)`` predicted probabilities of the event.
    outcome
        ``(n,)`` whether it happened.
    bins
        Number of bins, one or more.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Raises
    ------
    ShapeError
        If the shapes differ, there are no rows, an outcome is not a bool or a probability is not between 0 and 1.
    SettingError
        If there is no bin.

    Notes
    -----
    Sources: Niculescu-Mizil and Caruana 2005, "Predicting Good Probabilities with Supervised Learning", for the
    diagram; Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", for the intervals.

    Examples
    --------
    >>> diagram = reliability(np.array([0.1, 0.2, 0.9, 1.0]), np.array([False, False, True, False]), bins=2)
    >>> diagram.count, diagram.confidence, diagram.frequency
    (array([2, 2]), array([0.15, 0.95]), array([0. , 0.5]))
    """
    _check_probability(probability, outcome)
    if bins < 1:
        raise SettingError(
            "Reliability needs one bin or more.", f"bins is {bins}.", "Leave it at 15, or give 1 to 100."
        )
    bin_index = bin_of(probability, bins)
    weight = np.ones(len(probability)) if sample_weight is None else sample_weight
    count = np.bincount(bin_index, weight, minlength=bins)
    happened = np.bincount(bin_index, weight * outcome, minlength=bins)
    confidence = _divide(np.bincount(bin_index, weight * probability, minlength=bins), count)
    # Rows of different weights tell as much as fewer rows of the same (Kish 1965, "Survey Sampling").
    per_row = _divide(count, np.bincount(bin_index, weight**2, minlength=bins))
    low, high = wilson_interval(np.nan_to_num(happened * per_row), np.nan_to_num(count * per_row))
    return Reliability(_edges(bins), as_counts(count), confidence, _divide(happened, count), low, high)


def bin_of(probability: Scores, bins: int) -> npt.NDArray[np.intp]:
    """Return which of equally wide bins holds each probability, ``(n,)`` from 0.

    A bin holds its upper edge, the first its lower edge too, so that a probability of 1 is in the last.

    Examples
    --------
    >>> bin_of(np.array([0.0, 0.5, 0.51, 1.0]), bins=2)
    array([0, 0, 1, 1])
    """
    return np.searchsorted(_edges(bins)[1:-1], probability, side="left")


def wilson_interval(happened: Counts, count: Counts) -> tuple[FloatArray, FloatArray]:
    """Return the bounds of the 95 % Wilson interval of a frequency; NaN where the count is 0.

    Parameters
    ----------
    happened, count
        ``(B,)`` how often the event happened, and out of how many times; not whole where rows have weights.

    Notes
    -----
    Source: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".

    Examples
    --------
    >>> low, high = wilson_interval(np.array([0, 8]), np.array([0, 10]))
    >>> low.round(3), high.round(3)
    (array([ nan, 0.49]), array([  nan, 0.943]))
    """
    z = NormalDist().inv_cdf(0.975)
    share = _divide(happened, count)
    centre = (happened + z**2 / 2) / (count + z**2)
    half = z * np.sqrt(count * share * (1 - share) + z**2 / 4) / (count + z**2)
    # The interval of a frequency of 0 or 1 ends there: rounding may carry the bound to either side.
    return np.clip(centre - half, 0.0, share), np.clip(centre + half, share, 1.0)


def calibration_error(diagram: Reliability) -> float:
    """Return the mean over rows of the distance between confidence and frequency in the row's bin, 0 to 1.

    Source: Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning".

    Examples
    --------
    >>> round(calibration_error(reliability(np.array([0.9, 0.9]), np.array([True, False]))), 4)
    0.4
    """
    gap = np.abs(diagram.frequency - diagram.confidence)
    return float(np.nansum(gap * diagram.count) / diagram.count.sum())


def top_label(
    probs: Scores, target: IntArray, bins: int = BINS, *, sample_weight: FloatArray | None = None
) -> Reliability:
    """Return the reliability of the predicted label: its probability against whether it was right.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    target
        ``(n,)`` class indices.
    bins
        Number of bins.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index or a probability is out of range.

    Examples
    --------
    >>> top_label(np.array([[0.7, 0.3], [0.4, 0.6]]), np.array([0, 0]), bins=1).frequency
    array([0.5])
    """
    check_rows(probs, target)
    return reliability(probs.max(axis=1), probs.argmax(axis=1) == target, bins, sample_weight=sample_weight)


def top_label_calibration_error(
    probs: Scores, target: IntArray, bins: int = BINS, *, sample_weight: FloatArray | None = None
) -> float:
    """Return the expected calibration error (ECE) of the predicted label, 0 to 1.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    target
        ``(n,)`` class indices.
    bins
        Number of bins.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index or a probability is out of range.

    Notes
    -----
    On few rows it is above 0 even for perfect probabilities, for each bin's frequency strays by chance.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".

    Examples
    --------
    >>> round(top_label_calibration_error(np.array([[0.7, 0.3], [0.3, 0.7]]), np.array([0, 1])), 4)
    0.3
    """
    return calibration_error(top_label(probs, target, bins, sample_weight=sample_weight))


def classwise_calibration_error(
    probs: Scores, target: IntArray, bins: int = BINS, *, sample_weight: FloatArray | None = None
) -> float:
    """Return the mean over classes of the calibration error of "this class or not", 0 to 1.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    target
        ``(n,)`` class indices.
    bins
        Number of bins.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index or a probability is out of range.

    Notes
    -----
    Source: Kull et al. 2019, "Beyond Temperature Scaling: Obtaining Well-Calibrated Multi-Class Probabilities with
    Dirichlet Calibration".

    Examples
    --------
    >>> round(classwise_calibration_error(np.array([[0.7, 0.3], [0.3, 0.7]]), np.array([0, 1])), 4)
    0.3
    """
    check_rows(probs, target)
    diagrams = [reliability(probs[:, k], target == k, bins, sample_weight=sample_weight) for k in range(probs.shape[1])]
    return float(np.mean([calibration_error(diagram) for diagram in diagrams]))


def _edges(bins: int) -> FloatArray:
    return np.linspace(0.0, 1.0, bins + 1)


def _divide(part: Counts, count: Counts) -> FloatArray:
    return np.asarray(np.divide(part, count, out=np.full(count.shape, np.nan), where=count > 0))


def _check_probability(probability: Scores, outcome: npt.NDArray[np.bool_]) -> None:
    if probability.ndim != 1 or outcome.shape != probability.shape or outcome.dtype != np.bool_ or outcome.size == 0:
        raise ShapeError(
            "Reliability needs (n,) probabilities and (n,) bool outcomes, of one row or more.",
            f"They are {probability.shape} of {probability.dtype} and {outcome.shape} of {outcome.dtype}.",
            "Give one outcome, True or False, for each probability.",
        )
    valid = (probability >= -_TOLERANCE) & (probability <= 1 + _TOLERANCE)
    if not valid.all():
        row = int(valid.argmin())
        raise ShapeError(
            "Probabilities lie between 0 and 1.",
            f"Row {row} holds {probability[row]}.",
            "Give probabilities, not logits or log-probabilities.",
        )
