"""Calibration errors without the part that chance adds: about 0 for perfect probabilities, on few rows too.

The plain calibration errors are sums of distances, which chance only makes larger. These are root mean squares: of each
bin's squared sum of (outcome - probability) the squares of its single rows are taken off, which leaves the products of
different rows, and those vanish on average where the probabilities are right.
"""

import numpy as np
import numpy.typing as npt

from crossent.evaluation.calibration import BINS, bin_of
from crossent.evaluation.metrics import FloatArray, IntArray, Scores, check_rows


def squared_calibration_error(
    probability: Scores,
    outcome: npt.NDArray[np.bool_],
    bins: int = BINS,
    *,
    sample_weight: FloatArray | None = None,
) -> float:
    """Return the mean squared distance between confidence and frequency in a row's bin, without bias.

    Parameters
    ----------
    probability, outcome
        ``(n,)`` predicted probabilities of an event, and whether it happened.
    bins
        Number of equally wide bins. One that holds a single row counts as 0: it says nothing.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    float
        At most 1, and below 0 about as often as above where the probabilities are right; NaN for a single row.

    Notes
    -----
    Sources: Kumar, Liang and Ma 2019, "Verified Uncertainty Calibration", for the debiased error; Bröcker 2012,
    "Estimating Reliability and Resolution of Probability Forecasts through Decomposition of the Empirical Score", for
    the bias. Of binned rows this is the unbiased estimator of the squared kernel calibration error with the kernel
    that is 1 within a bin.

    Examples
    --------
    One bin, with gaps of 0.2, 0.2 and -0.8: the mean product of two of them is -0.28 / 3.

    >>> round(squared_calibration_error(np.array([0.8, 0.8, 0.8]), np.array([True, True, False]), bins=1), 4)
    -0.0933
    """
    if len(outcome) < 2:
        return float("nan")
    weight = np.ones(len(outcome)) if sample_weight is None else sample_weight
    gap: FloatArray = weight * (outcome - probability.astype(np.float64))
    bin_index = bin_of(probability, bins)
    mass, squares = (np.bincount(bin_index, each, minlength=bins) for each in (weight, weight**2))
    total = np.bincount(bin_index, gap, minlength=bins)
    of_single_rows = np.bincount(bin_index, gap**2, minlength=bins)
    several = np.bincount(bin_index, minlength=bins) > 1
    # The mean product of two different rows, times the weight of the bin.
    pairs = mass[several] - squares[several] / mass[several]
    products = (total**2 - of_single_rows)[several] / pairs
    return float(products.sum() / weight.sum())


def debiased_top_label_error(
    probs: Scores, target: IntArray, bins: int = BINS, *, sample_weight: FloatArray | None = None
) -> float:
    """Return the root mean square distance of the predicted label's confidence from how often it is right.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    target
        ``(n,)`` class indices.
    bins
        Number of equally wide bins.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    float
        0 to 1; 0 where chance alone explains the distances, NaN for a single row.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index is out of range.

    Notes
    -----
    Source: Kumar, Liang and Ma 2019, "Verified Uncertainty Calibration". See `squared_calibration_error`.

    Examples
    --------
    >>> round(debiased_top_label_error(np.array([[0.9, 0.1]] * 4), np.array([0, 1, 1, 0])), 4)
    0.2769
    """
    check_rows(probs, target)
    right = probs.argmax(axis=1) == target
    return root(squared_calibration_error(probs.max(axis=1), right, bins, sample_weight=sample_weight))


def debiased_classwise_error(
    probs: Scores, target: IntArray, bins: int = BINS, *, sample_weight: FloatArray | None = None
) -> float:
    """Return the root of the mean over classes of the debiased squared error of "this class or not".

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    target
        ``(n,)`` class indices.
    bins
        Number of equally wide bins.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    float
        0 to 1; 0 where chance alone explains the distances, NaN for a single row.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a class index is out of range.

    Notes
    -----
    Source: Kumar, Liang and Ma 2019, "Verified Uncertainty Calibration", with all classes counting the same. See
    `squared_calibration_error`.

    Examples
    --------
    >>> round(debiased_classwise_error(np.array([[0.9, 0.1]] * 4), np.array([0, 1, 1, 0])), 4)
    0.2769
    """
    check_rows(probs, target)
    return root(squared_classwise_error(probs, target, bins, sample_weight=sample_weight))


def squared_classwise_error(
    probs: Scores, target: IntArray, bins: int = BINS, *, sample_weight: FloatArray | None = None
) -> float:
    """Return the mean over classes of `squared_calibration_error`, each class against the rest."""
    errors = [
        squared_calibration_error(probs[:, k], target == k, bins, sample_weight=sample_weight)
        for k in range(probs.shape[1])
    ]
    return float(np.mean(errors))


def root(squared: float) -> float:
    """Return the root of a squared error; 0 where it is negative, which is chance. NaN stays.

    Examples
    --------
    >>> root(0.25), root(-0.001)
    (0.5, 0.0)
    """
    return float(np.sqrt(np.maximum(squared, 0.0)))
