"""Figures of quality: proper scores of probabilities, and what follows from a confusion matrix."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossent.errors import ShapeError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Scores = npt.NDArray[np.floating[Any]]
# Numbers of rows, or sums of their weights.
Counts = npt.NDArray[Any]


def check_rows(scores: npt.NDArray[Any], target: IntArray) -> None:
    """Check that each of one or more rows of ``(n, K)`` scores has a class index below K.

    Raises
    ------
    ShapeError
        If the shapes do not fit, there are no rows, or a class index is out of range.
    """
    if scores.ndim != 2 or target.shape != scores.shape[:1] or scores.size == 0:
        raise ShapeError(
            "An evaluation needs (n, K) scores and (n,) class indices, of one row or more.",
            f"Their shapes are {scores.shape} and {target.shape}.",
            "Give one class index for each row of scores.",
        )
    if not np.issubdtype(target.dtype, np.integer):
        raise ShapeError("A target holds class indices.", f"Its dtype is {target.dtype}.", "Give integers.")
    outside = (target < 0) | (target >= scores.shape[1])
    if outside.any():
        row = int(outside.argmax())
        raise ShapeError(
            f"Class indices of {scores.shape[1]} classes run from 0 to {scores.shape[1] - 1}.",
            f"Row {row} holds {target[row]}.",
            "Give each label as its position among the classes.",
        )


def log_loss_of_rows(log_probs: Scores, target: IntArray) -> FloatArray:
    """Return each row's log-loss in nats, ``(n,)``; see `log_loss`."""
    check_rows(log_probs, target)
    # Taken from 0.0, not negated, so that a certain and right answer costs 0.0 rather than -0.0.
    return 0.0 - np.take_along_axis(log_probs, target[:, None], axis=1)[:, 0].astype(np.float64)


def log_loss(log_probs: Scores, target: IntArray, *, sample_weight: FloatArray | None = None) -> float:
    """Return the mean negative log-probability of what happened, in nats, not clipped.

    Parameters
    ----------
    log_probs
        ``(n, K)`` log-probabilities; -inf stands for probability 0.
    target
        ``(n,)`` class indices.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    float
        From 0 (sure and right) to infinity (something happened that had been given probability 0).

    Raises
    ------
    ShapeError
        If the shapes do not fit, there are no rows, or a class index is out of range.

    Notes
    -----
    Source: Good 1952, "Rational Decisions".

    Examples
    --------
    >>> round(log_loss(np.log([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1])), 4)
    0.4581
    """
    return float(np.average(log_loss_of_rows(log_probs, target), weights=sample_weight))


def brier_of_rows(probs: Scores, target: IntArray) -> FloatArray:
    """Return each row's Brier score, ``(n,)``; see `brier`."""
    check_rows(probs, target)
    errors = probs.astype(np.float64)
    errors[np.arange(len(target)), target] -= 1.0
    return np.asarray(np.einsum("nk,nk->n", errors, errors))


def brier(probs: Scores, target: IntArray, *, sample_weight: FloatArray | None = None) -> float:
    """Return the mean over rows of the squared error of the probabilities, summed over the classes.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities.
    target
        ``(n,)`` class indices.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    float
        From 0 (sure and right) to 2 (sure and wrong).

    Raises
    ------
    ShapeError
        If the shapes do not fit, there are no rows, or a class index is out of range.

    Notes
    -----
    Source: Brier 1950, "Verification of Forecasts Expressed in Terms of Probability".

    Examples
    --------
    >>> brier(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0, 1]))
    0.25
    """
    return float(np.average(brier_of_rows(probs, target), weights=sample_weight))


def confusion_matrix(
    target: IntArray, predicted: IntArray, class_count: int, *, sample_weight: FloatArray | None = None
) -> Counts:
    """Return how many rows of each true class were predicted as each class.

    Parameters
    ----------
    target, predicted
        ``(n,)`` class indices below `class_count`.
    class_count
        The number of classes K.
    sample_weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Returns
    -------
    Counts
        ``(K, K)`` sums of weights, int64 where they are whole; rows are true classes, columns predicted ones.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    cells = np.bincount(target * class_count + predicted, sample_weight, minlength=class_count**2)
    return as_counts(cells.reshape(class_count, class_count))


def as_counts(weights: npt.NDArray[Any]) -> Counts:
    """Return sums of weights as int64 where all are whole, as numbers of rows are; else as they are.

    Examples
    --------
    >>> as_counts(np.array([2.0, 3.0])), as_counts(np.array([2.0, 2.5]))
    (array([2, 3]), array([2. , 2.5]))
    """
    whole = weights.astype(np.int64)
    return whole if (whole == weights).all() else weights


@dataclass(frozen=True)
class ClassCounts:
    """The counts of a confusion matrix that its figures rest on.

    The functions that take them work along the last axis, so that one call serves one matrix or a thousand resamples.

    Attributes
    ----------
    correct
        ``(..., K)`` rows of each class that were predicted as that class: the diagonal.
    actual
        ``(..., K)`` rows of each true class: the sums of the rows.
    predicted
        ``(..., K)`` rows predicted as each class: the sums of the columns.
    """

    correct: Counts
    actual: Counts
    predicted: Counts


def class_counts(confusion: Counts) -> ClassCounts:
    """Return the counts of a ``(K, K)`` confusion matrix.

    Examples
    --------
    >>> class_counts(np.array([[2, 1], [0, 3]])).predicted
    array([2, 4])
    """
    return ClassCounts(correct=confusion.diagonal(), actual=confusion.sum(axis=1), predicted=confusion.sum(axis=0))


def accuracy(counts: ClassCounts) -> FloatArray:
    """Return the share of rows predicted right, ``(...)``.

    Examples
    --------
    >>> float(accuracy(class_counts(np.array([[2, 0], [2, 4]]))))
    0.75
    """
    return np.asarray(counts.correct.sum(axis=-1) / counts.actual.sum(axis=-1))


def recall(counts: ClassCounts) -> FloatArray:
    """Return the share of each class's rows that were predicted as it, ``(..., K)``; NaN for a class without rows.

    Examples
    --------
    >>> recall(class_counts(np.array([[2, 0], [2, 4]]))).round(4)
    array([1.    , 0.6667])
    """
    return _ratio(counts.correct, counts.actual)


def precision(counts: ClassCounts) -> FloatArray:
    """Return how often a prediction of each class is right, ``(..., K)``; NaN for a class never predicted.

    Examples
    --------
    >>> precision(class_counts(np.array([[2, 0], [2, 4]])))
    array([0.5, 1. ])
    """
    return _ratio(counts.correct, counts.predicted)


def f1(counts: ClassCounts) -> FloatArray:
    """Return the harmonic mean of precision and recall, ``(..., K)``.

    It is 0 for a class that is never predicted right, and NaN for one that neither occurs nor is predicted.

    Examples
    --------
    >>> f1(class_counts(np.array([[2, 0], [2, 4]]))).round(4)
    array([0.6667, 0.8   ])
    """
    return _ratio(2 * counts.correct, counts.actual + counts.predicted)


def balanced_accuracy(counts: ClassCounts) -> FloatArray:
    """Return the mean recall of the classes that occur, ``(...)``.

    Source: Brodersen et al. 2010, "The Balanced Accuracy and Its Posterior Distribution".

    Examples
    --------
    >>> round(float(balanced_accuracy(class_counts(np.array([[2, 0], [2, 4]])))), 4)
    0.8333
    """
    return np.asarray(np.nanmean(recall(counts), axis=-1))


def macro_f1(counts: ClassCounts) -> FloatArray:
    """Return the mean F1 of the classes that occur or are predicted, ``(...)``.

    Examples
    --------
    >>> round(float(macro_f1(class_counts(np.array([[2, 0], [2, 4]])))), 4)
    0.7333
    """
    return np.asarray(np.nanmean(f1(counts), axis=-1))


def _ratio(part: Counts, whole: Counts) -> FloatArray:
    return np.asarray(np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0))
