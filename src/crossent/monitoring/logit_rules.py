"""The classic mistakes of a training loop, seen in one batch of logits and targets."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from crossent.logits import log_softmax
from crossent.monitoring.finding import Finding

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Rows whose sum is this near to 1 are probabilities, in float32 or half precision.
_SUM_TOLERANCE = 2e-3
_IGNORED = -100
# With fewer rows, any pattern can be chance.
_FEWEST_ROWS = 30
# A class is dead if no row gives it this share of its expected probability.
_DEAD_SHARE = 0.01
_FEWEST_OF_CLASS = 5
# Share of exact zeros among logits that are never negative, which shows a ReLU.
_RELU_ZEROS = 0.05


def check_logits(
    logits: Tensor | npt.NDArray[Any], target: Tensor | npt.NDArray[Any], *, at_start: bool = False
) -> tuple[Finding, ...]:
    """Look for the classic mistakes in the logits and the target that a loop gives to its loss.

    Parameters
    ----------
    logits
        ``(n, K)`` or ``(n, K, ...)`` of torch or NumPy, as the loss gets them.
    target
        ``(n,)`` or ``(n, ...)`` class indices, of which -100 is ignored, or floating distributions of the logits'
        shape, as the loss gets them.
    at_start
        Whether the model is not yet trained. Then the loss must be near log K, which is what equal probabilities give.

    Returns
    -------
    tuple[Finding, ...]
        What is wrong, the most important first; empty if nothing is. It never raises an error, whatever is given.

    Notes
    -----
    It reads the values, so that on a GPU it waits for the device: call it for the first batch, not for each.

    Examples
    --------
    >>> target = np.arange(60) % 3
    >>> logits = np.random.default_rng(0).normal(size=(60, 3)) + 4 * np.eye(3)[target]
    >>> check_logits(logits, target)
    ()
    >>> (finding,) = check_logits(torch.tensor(logits).softmax(1), target)
    >>> finding.name
    'probabilities in place of logits'
    >>> [finding.name for finding in check_logits(logits, target + 1)]
    ['target counts from 1']
    """
    scores, given = _array(logits), _array(target)
    shape = _shape_finding(scores, given)
    if shape:
        return shape
    columns = np.moveaxis(scores, 1, -1).reshape(-1, scores.shape[1]).astype(np.float64)
    findings = list(_value_findings(columns))
    if np.issubdtype(given.dtype, np.floating):
        return (*findings, *_distribution_findings(np.moveaxis(given, 1, -1).reshape(columns.shape)))
    indices = given.reshape(-1).astype(np.int64)
    counted = indices != _IGNORED
    columns, indices = columns[counted], indices[counted]
    outside = _outside_findings(indices, columns.shape[1])
    if outside or not len(indices):
        return (*findings, *outside)
    if np.isnan(columns).any() or np.isposinf(columns).any():
        return tuple(findings)
    log_probs = log_softmax(columns).astype(np.float64)
    with_target: tuple[Callable[[Array, Indices], tuple[Finding, ...]], ...] = (
        _impossible_findings,
        _shifted_findings,
        _dead_findings,
        *((_start_findings,) if at_start else ()),
    )
    for look in with_target:
        findings.extend(look(log_probs, indices))
    return tuple(findings)


def _array(values: Tensor | npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not isinstance(values, Tensor):
        return np.asarray(values)
    detached = values.detach().cpu()
    # NumPy has no bfloat16.
    return np.asarray((detached.float() if detached.dtype == torch.bfloat16 else detached).numpy())


def _shape_finding(logits: npt.NDArray[Any], target: npt.NDArray[Any]) -> tuple[Finding, ...]:
    """Return what is wrong with shapes and types; then nothing else can be checked."""
    if logits.ndim < 2 or not np.issubdtype(logits.dtype, np.floating) or logits.shape[1] < 2 or not logits.size:
        met = f"They are {logits.dtype} of shape {logits.shape}."
        fix = "Give the raw scores of the last layer, one column for each of two or more classes."
        return (Finding("not logits", f"Logits are floating and of shape (n, K). {met}", fix),)
    rows = logits.shape[:1] + logits.shape[2:]
    floating = np.issubdtype(target.dtype, np.floating)
    met = f"The target is {target.dtype} of shape {target.shape}, the logits are of shape {logits.shape}."
    if floating and target.shape == rows:
        return (Finding("indices as floats", met, "Class indices are whole numbers: target.long()."),)
    if not floating and target.shape == logits.shape:
        return (Finding("one-hot in place of indices", met, "Give class indices: target.argmax(1)."),)
    whole = np.issubdtype(target.dtype, np.integer)
    if target.shape != (logits.shape if floating else rows) or not (floating or whole):
        fix = f"Give class indices: whole numbers of shape {rows}."
        return (Finding("shapes do not fit", met, fix),)
    return ()


def _value_findings(logits: Array) -> tuple[Finding, ...]:
    """Return what the logits show without the target."""
    bad = np.isnan(logits) | np.isposinf(logits)
    if bad.any():
        row = int(bad.any(axis=1).argmax())
        seen = f"{int(bad.any(axis=1).sum()):,} of {len(logits):,} rows hold NaN or infinity, the first is row {row}."
        return (Finding("not finite", seen, "Look for a division by 0, a log of 0, or a learning rate too high."),)
    # One row of any values can sum to 1.
    return _normalised_findings(logits) or _constant_findings(logits) if len(logits) > 1 else ()


def _normalised_findings(logits: Array) -> tuple[Finding, ...]:
    """Return whether a softmax, a log-softmax or a ReLU was applied to the logits."""
    if logits.min() >= 0 and np.abs(logits.sum(axis=1) - 1).max() < _SUM_TOLERANCE:
        seen = f"All values are from {logits.min():.2g} to {logits.max():.2g} and each row sums to 1."
        fix = "The loss applies the softmax itself: remove the softmax from the model, otherwise it is applied twice."
        return (Finding("probabilities in place of logits", seen, fix),)
    if logits.max() < 0 and np.abs(np.log(np.exp(logits).sum(axis=1))).max() < _SUM_TOLERANCE:
        seen = "Every row is a set of log-probabilities: their exponentials sum to 1."
        fix = "The loss is the same, but it applies the log-softmax itself: remove it from the model."
        return (Finding("log-probabilities in place of logits", seen, fix),)
    zeros = float((logits == 0).mean())
    if logits.min() == 0 < logits.max() and zeros >= _RELU_ZEROS and logits.size >= 2 * _FEWEST_ROWS:
        seen = f"No logit is negative and {zeros:.0%} are exactly 0."
        return (Finding("ReLU after the last layer", seen, "Logits may have any sign: end with the linear layer."),)
    return ()


def _constant_findings(logits: Array) -> tuple[Finding, ...]:
    """Return whether the logits do not depend on the rows."""
    if (logits.max(axis=1, keepdims=True) == logits).all():
        return (
            Finding("all logits equal", f"In each of {len(logits):,} rows all classes have the same logit.", _DEAD_FIX),
        )
    if (logits == logits[:1]).all():
        seen = f"All {len(logits):,} rows have the same logits: the output does not depend on the input."
        return (Finding("all rows equal", seen, _DEAD_FIX),)
    return ()


_DEAD_FIX = "If the last layer does not start at zero on purpose, look for dead units or a layer left unconnected."


def _distribution_findings(target: npt.NDArray[Any]) -> tuple[Finding, ...]:
    sums = target.sum(axis=1, dtype=np.float64)
    # Written so that NaN counts as bad, too.
    good = (target >= 0).all(axis=1) & (np.abs(sums - 1) < _SUM_TOLERANCE)
    if not good.all():
        row = int(good.argmin())
        seen = f"Row {row} of the target is not a distribution: it sums to {sums[row]:.4g}."
        return (Finding("target is not a distribution", seen, "The values of a row must be 0 or more and sum to 1."),)
    if ((target == 0) | (target == 1)).all():
        seen = f"Each of {len(target):,} rows of the floating target is 1 for one class and 0 for the others."
        fix = "Class indices give the same loss with less time and memory: target.argmax(1)."
        return (Finding("one-hot in place of indices", seen, fix),)
    return ()


def _outside_findings(target: Indices, class_count: int) -> tuple[Finding, ...]:
    if not len(target) or (target.min() >= 0 and target.max() < class_count):
        return ()
    seen = f"Class indices run from {target.min()} to {target.max()}, the logits have {class_count} columns."
    if target.min() == 1 and target.max() == class_count:
        return (Finding("target counts from 1", seen, "Subtract 1 from the target."),)
    fix = f"Map the labels to 0 … {class_count - 1}, or give the last layer as many outputs as there are classes."
    return (Finding("wrong number of classes", seen, fix),)


def _impossible_findings(log_probs: Array, target: Indices) -> tuple[Finding, ...]:
    count = int(np.isneginf(log_probs[np.arange(len(target)), target]).sum())
    if not count:
        return ()
    seen = f"{count:,} of {len(target):,} rows give their true class the probability 0, which is an infinite loss."
    return (Finding("true class masked", seen, "Check the mask that sets logits to -inf."),)


def _shifted_findings(log_probs: Array, target: Indices) -> tuple[Finding, ...]:
    """Return whether the model predicts the class next to the target.

    This is judged by the recall averaged over classes, so that always predicting a frequent class shows nothing.
    """
    class_count = log_probs.shape[1]
    if class_count < 3 or len(target) < _FEWEST_ROWS:
        return ()
    predicted = log_probs.argmax(axis=1)
    recall = {shift: _mean_recall(predicted == (target + shift) % class_count, target) for shift in (0, -1, 1)}
    shift = max((-1, 1), key=recall.__getitem__)
    # With three classes, a model that is always wrong can look shifted by chance. Chance alone never gives one half.
    if len(np.unique(target)) < 3 or recall[shift] < 0.6 or recall[shift] < 3 * recall[0]:
        return ()
    seen = (
        f"The predicted class is the target {shift:+d} in {recall[shift]:.0%} of the cases,"
        f" the target itself in {recall[0]:.0%} (averaged over classes)."
    )
    return (Finding("target off by one", seen, "Training and these rows must number the classes in the same way."),)


def _mean_recall(right: npt.NDArray[np.bool_], target: Indices) -> float:
    counts = np.bincount(target)
    hits = np.bincount(target, weights=right)
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def _dead_findings(log_probs: Array, target: Indices) -> tuple[Finding, ...]:
    counts = np.bincount(target, minlength=log_probs.shape[1])
    highest = np.exp(log_probs.max(axis=0))
    dead = np.flatnonzero((counts >= _FEWEST_OF_CLASS) & (highest < _DEAD_SHARE * counts / len(target)))
    if not len(dead) or len(target) < _FEWEST_ROWS:
        return ()
    first = dead[0]
    named = ", ".join(map(str, dead[:5])) + (", …" if len(dead) > 5 else "")
    seen = (
        f"No row gives a noticeable probability to {'class' if len(dead) == 1 else 'classes'} {named}: class"
        f" {first} has {counts[first]:,} of {len(target):,} rows, and its highest probability is {highest[first]:.1g}."
    )
    return (
        Finding("dead classes", seen, "Look for a mask, a class that is missing in training, or a class weight of 0."),
    )


def _start_findings(log_probs: Array, target: Indices) -> tuple[Finding, ...]:
    loss = float(-log_probs[np.arange(len(target)), target].mean())
    even = math.log(log_probs.shape[1])
    seen = f"The loss starts at {loss:.3f}; equal probabilities for {log_probs.shape[1]} classes give {even:.3f}."
    # The mean over few rows varies more.
    scatter = 0.3 * math.sqrt(max(1.0, _FEWEST_ROWS / len(target)))
    if loss > 1.3 * even + scatter:
        fix = "Scale the inputs to about -1 to 1, and start the last layer with small weights."
        return (Finding("loss starts too high", seen, fix),)
    if loss < 0.5 * even and len(target) >= _FEWEST_ROWS:
        fix = (
            "Is the model already trained? If not, check whether the inputs contain the target or all rows are of one"
            " class."
        )
        return (Finding("loss starts too low", seen, fix),)
    return ()
