"""Macro-F1 for every number of rows that are moved to one class, in one pass."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def macro_f1(target: IntArray, predicted: IntArray) -> float:
    """Return the mean F1 of the classes that occur or are predicted, as scikit-learn does.

    Examples
    --------
    >>> round(macro_f1(np.array([1, 0, 0]), np.array([1, 1, 0])), 4)
    0.6667
    """
    class_count = int(max(predicted.max(), target.max())) + 1
    correct = np.bincount(predicted[predicted == target], minlength=class_count)
    actual_and_predicted = np.bincount(np.concatenate([target, predicted]), minlength=class_count)
    f1, present = _f1(correct, actual_and_predicted)
    return float(f1.sum() / present.sum())


def macro_f1_of_prefixes(rest: IntArray, target: IntArray, k: int) -> FloatArray:
    """Return macro-F1 if the first i rows are predicted as class k and the others as they are, for i from 0 to n.

    The mean is over the classes that occur or are predicted, as in scikit-learn. Each row that moves changes the F1 of
    class k and of one class more, so that the sum over classes is a running sum of these changes.

    Parameters
    ----------
    rest
        ``(n,)`` the predicted class of each row if it is not moved; never k.
    target
        ``(n,)`` the right classes.
    k
        The class that rows are moved to.

    Returns
    -------
    FloatArray
        ``(n + 1,)`` macro-F1.

    Examples
    --------
    >>> macro_f1_of_prefixes(np.array([0, 0, 0]), np.array([1, 0, 0]), 1).round(4)
    array([0.4   , 1.    , 0.6667, 0.25  ])
    """
    rows, class_count = len(target), int(max(rest.max(), target.max(), k)) + 1
    actual = np.bincount(target, minlength=class_count)
    predicted = np.bincount(rest, minlength=class_count)
    correct = np.bincount(rest[rest == target], minlength=class_count)
    # Rows by the class that they leave, in their order; each reduces the counts of this class by one.
    order = np.argsort(rest, kind="stable")
    left = rest[order]
    start = np.cumsum(predicted) - predicted
    moved = np.arange(1, rows + 1) - start[left]
    right = np.cumsum(np.append(0, rest[order] == target[order]))
    lost = right[1:] - right[start[left]]
    f1_change, present_change = np.empty(rows), np.empty(rows)
    after, still = _f1(correct[left] - lost, actual[left] + predicted[left] - moved)
    was_right = np.diff(right)
    before, was = _f1(correct[left] - lost + was_right, actual[left] + predicted[left] - moved + 1)
    f1_change[order], present_change[order] = after - before, still - was
    f1, present = _f1(correct, actual + predicted)
    own_correct = np.cumsum(np.append(0, target == k))
    own_f1, own_present = _f1(own_correct, actual[k] + np.arange(rows + 1))
    total = f1.sum() - f1[k] + np.cumsum(np.append(0.0, f1_change)) + own_f1
    return np.asarray(total / (present.sum() - present[k] + np.cumsum(np.append(0.0, present_change)) + own_present))


def _f1(correct: IntArray, actual_and_predicted: IntArray) -> tuple[FloatArray, FloatArray]:
    present = actual_and_predicted > 0
    return 2 * correct / np.maximum(actual_and_predicted, 1), present.astype(np.float64)
