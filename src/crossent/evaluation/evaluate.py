"""From log-probabilities and labels to every figure of quality, and to the JSON that keeps them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special

from crossent.data.column import Label
from crossent.errors import ShapeError
from crossent.evaluation.calibration import calibration_error, reliability, top_label
from crossent.evaluation.intervals import (
    RESAMPLES,
    RowResamples,
    calibration_deviations,
    deviation_interval,
    percentile_interval,
    resample_confusion,
    resample_rows,
)
from crossent.evaluation.metrics import (
    ClassCounts,
    FloatArray,
    IntArray,
    Scores,
    accuracy,
    balanced_accuracy,
    brier_of_rows,
    check_rows,
    class_counts,
    confusion_matrix,
    f1,
    log_loss_of_rows,
    macro_f1,
    precision,
    recall,
)
from crossent.evaluation.result import ClassResult, Estimate, Evaluation, Reliability

_SUM_TOLERANCE = 1e-3  # the rounding of 1,000 float32 probabilities stays well below


def evaluate(
    log_probs: Scores,
    target: IntArray,
    classes: tuple[Label, ...],
    prior: FloatArray,
    rng: np.random.Generator,
) -> Evaluation:
    """Judge probabilities on rows with known labels, each figure with its 95 % bootstrap interval.

    Parameters
    ----------
    log_probs
        ``(n, K)`` log-probabilities of one row or more; -inf stands for probability 0.
    target
        ``(n,)`` int64 class indices.
    classes
        The K labels, in column order. A class without rows keeps its place.
    prior
        ``(K,)`` share of each class in the training rows: what the baseline answers for every row.
    rng
        Source of the resamples. The figures themselves do not depend on it.

    Raises
    ------
    ShapeError
        If shapes do not fit, there are no rows, a class index is out of range, or a row of probabilities or the prior
        does not sum to 1.

    Examples
    --------
    >>> log_probs = np.log([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
    >>> result = evaluate(
    ...     log_probs, np.array([0, 0, 1, 1]), ("no", "yes"), np.array([0.5, 0.5]), np.random.default_rng(0)
    ... )
    >>> result.metrics["accuracy"]
    Estimate(value=0.75, low=0.25, high=1.0)
    >>> round(result.metrics["log_loss"].value, 4), round(result.baseline["log_loss"], 4)
    (0.5108, 0.6931)
    """
    check_rows(log_probs, target)
    with np.errstate(over="ignore"):  # what overflows is no log-probability; the next line says so
        probs = np.exp(log_probs, dtype=np.float64)
    _check_probs(probs, classes, prior)
    confusion = confusion_matrix(target, probs.argmax(axis=1), len(classes))
    counts, resampled_counts = class_counts(confusion), resample_confusion(confusion, rng)
    resamples = resample_rows(len(target), rng)
    diagram = top_label(probs, target)
    class_diagrams, classwise_error = _classwise_calibration(probs, target, resamples)
    return Evaluation(
        rows=len(target),
        metrics={
            "log_loss": _mean_estimate(log_loss_of_rows(log_probs, target), resamples),
            **_confusion_estimates(counts, resampled_counts),
            "brier": _mean_estimate(brier_of_rows(probs, target), resamples),
            "top_label_calibration_error": _top_label_error(probs, target, diagram, resamples),
            "classwise_calibration_error": classwise_error,
        },
        baseline=_baseline(prior, counts.actual),
        classes=_class_results(classes, counts, resampled_counts, class_diagrams),
        confusion=confusion,
        reliability=diagram,
    )


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain dicts, lists, numbers and labels: what ``metrics.json`` holds.

    JSON has no word for NaN or infinity: NaN becomes None (nothing to rest on), infinity the string ``"Infinity"``,
    which `float` reads back.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one_row = evaluate(np.log([[0.75, 0.25]]), np.array([1]), ("no", "yes"), np.array([0.5, 0.5]), rng)
    >>> to_json(one_row)["metrics"]["accuracy"]
    {'value': 0.0, 'low': None, 'high': None}
    """
    plain: dict[str, Any] = _plain(evaluation)
    return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else "Infinity"
    return value


def _mean_estimate(values: FloatArray, resamples: RowResamples) -> Estimate:
    return percentile_interval(float(values.mean()), resamples.means(values), len(values))


def _confusion_estimates(counts: ClassCounts, resampled: ClassCounts) -> dict[str, Estimate]:
    rows = int(counts.actual.sum())
    return {
        figure.__name__: percentile_interval(float(figure(counts)), figure(resampled), rows)
        for figure in (accuracy, balanced_accuracy, macro_f1)
    }


def _top_label_error(probs: FloatArray, target: IntArray, diagram: Reliability, resamples: RowResamples) -> Estimate:
    deviations = calibration_deviations(resamples, probs.max(axis=1), probs.argmax(axis=1) == target)
    return deviation_interval(calibration_error(diagram), deviations, len(target))


def _classwise_calibration(
    probs: FloatArray, target: IntArray, resamples: RowResamples
) -> tuple[list[Reliability], Estimate]:
    class_count = probs.shape[1]
    diagrams, deviations = [], np.zeros(RESAMPLES)
    for k in range(class_count):
        probability, outcome = np.ascontiguousarray(probs[:, k]), target == k
        diagrams.append(reliability(probability, outcome))
        deviations += calibration_deviations(resamples, probability, outcome) / class_count
    error = float(np.mean([calibration_error(diagram) for diagram in diagrams]))
    return diagrams, deviation_interval(error, deviations, len(target))


def _baseline(prior: FloatArray, support: IntArray) -> dict[str, float]:
    rows = support.sum()
    # A class of prior 0 costs nothing while it does not occur (0 * log 0 = 0), and infinity once it does.
    log_loss = 0.0 - scipy.special.xlogy(support, prior).sum() / rows
    return {"log_loss": float(log_loss), "accuracy": float(support[prior.argmax()] / rows)}


def _class_results(
    classes: tuple[Label, ...], counts: ClassCounts, resampled: ClassCounts, diagrams: list[Reliability]
) -> tuple[ClassResult, ...]:
    precisions = _class_estimates(precision, counts, resampled, counts.predicted)
    recalls = _class_estimates(recall, counts, resampled, counts.actual)
    f1s = _class_estimates(f1, counts, resampled, counts.actual + counts.predicted - counts.correct)
    return tuple(
        ClassResult(
            label=label,
            support=int(counts.actual[k]),
            precision=precisions[k],
            recall=recalls[k],
            f1=f1s[k],
            reliability=diagrams[k],
        )
        for k, label in enumerate(classes)
    )


def _class_estimates(
    figure: Callable[[ClassCounts], FloatArray], counts: ClassCounts, resampled: ClassCounts, rows: IntArray
) -> list[Estimate]:
    values, draws = figure(counts), figure(resampled)
    return [percentile_interval(float(values[k]), draws[:, k], int(rows[k])) for k in range(len(values))]


def _check_probs(probs: FloatArray, classes: tuple[Label, ...], prior: FloatArray) -> None:
    if len(classes) != probs.shape[1] or prior.shape != probs.shape[1:]:
        raise ShapeError(
            "Each column of log-probabilities needs a label and a prior.",
            f"There are {probs.shape[1]} columns, {len(classes)} labels and a prior of shape {prior.shape}.",
            "Give all three in the same order.",
        )
    if not (abs(prior.sum() - 1) < _SUM_TOLERANCE and (prior >= 0).all()):
        raise ShapeError("A prior holds shares that sum to 1.", f"It is {prior}.", "Divide the counts by their sum.")
    off = ~(np.abs(probs.sum(axis=1) - 1) < _SUM_TOLERANCE)
    if off.any():
        row = int(off.argmax())
        raise ShapeError(
            "The probabilities of a row sum to 1.",
            f"Those of row {row} sum to {probs[row].sum():.6g}.",
            "Give natural log-probabilities, such as log_softmax(logits), not logits or probabilities.",
        )
