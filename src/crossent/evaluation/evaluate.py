"""Computes all metrics from probabilities and labels, and their JSON."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from crossent.errors import ShapeError
from crossent.evaluation.calibration import calibration_error, reliability, top_label
from crossent.evaluation.catalogue import METRICS
from crossent.evaluation.consistency import calibration_p_value
from crossent.evaluation.inputs import SUM_TOLERANCE, read_labelled, read_prior
from crossent.evaluation.intervals import (
    Resampled,
    deviation_interval,
    percentile_interval,
    resample_confusion,
    resample_rows,
    resample_weighted_confusion,
)
from crossent.evaluation.kernel import kernel_calibration_error
from crossent.evaluation.metrics import (
    ClassCounts,
    Counts,
    FloatArray,
    IntArray,
    Scores,
    accuracy,
    balanced_accuracy,
    check_rows,
    class_counts,
    confusion_matrix,
    f1,
    macro_f1,
    precision,
    recall,
)
from crossent.evaluation.resampled import classwise_errors, resample_means, top_label_errors
from crossent.evaluation.result import ClassResult, Estimate, Evaluation, Reliability
from crossent.kinds.column import Label


def evaluate(
    probs: Any,
    y: Any,
    *,
    classes: Sequence[Label] | None = None,
    prior: Mapping[Label, float] | npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate probabilities of any model on rows with known labels, each metric with its 95 % interval.

    Parameters
    ----------
    probs
        ``(n, K)`` probabilities, one row for each case and one column for each class: an array, nested lists, a tensor
        on the CPU, or a pandas or polars frame whose columns are named as the classes.
    y
        ``(n,)`` labels, or column numbers from 0.
    classes
        The K labels in the order of the columns. Needed only if `probs` is not a frame, labels are not numbers from 0
        to K - 1, and not every class occurs: where each does, columns are taken to be in sorted order, as scikit-learn
        has them.
    prior
        ``(K,)`` shares of the classes in the training rows, or a mapping from label to share: what the baseline answers
        for every row. By default the shares among `y`.
    sample_weight
        ``(n,)``, 0 or above: how many rows each row counts as, such as the weights of a survey. None: as one. A row of
        weight 0 is left out. Intervals take rows with their weights for drawn.
    seed
        Seed of the resamples, and of the random parts into which refinement and the kernel error divide the rows.

    Returns
    -------
    Evaluation
        Print it for a table.

    Raises
    ------
    ShapeError
        If values are not probabilities (a row that does not sum to 1, negative, NaN), shapes do not fit, or a weight is
        negative or not finite.
    DataError
        If a label is not among the classes, or the class of each column is unknown.

    Examples
    --------
    >>> result = evaluate([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]], ["no", "no", "yes", "yes"])
    >>> result.metrics["accuracy"]
    Estimate(value=0.75, low=0.25, high=1.0)
    """
    labelled = read_labelled(probs, y, classes, sample_weight)
    shares = read_prior(prior, labelled)
    rng = np.random.default_rng(seed)
    return evaluate_log_probs(
        labelled.log_probs, labelled.target, labelled.classes, shares, rng, weight=labelled.weight
    )


def evaluate_log_probs(
    log_probs: Scores,
    target: IntArray,
    classes: tuple[Label, ...],
    prior: FloatArray,
    rng: np.random.Generator,
    *,
    weight: FloatArray | None = None,
) -> Evaluation:
    """Evaluate log-probabilities on rows with known labels, each metric with its 95 % interval.

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
        Source of the resamples. Of the figures themselves only the parts of the losses and, on thousands of rows, the
        kernel calibration error depend on it, a little: they rest on random parts of the rows.
    weight
        ``(n,)``, above 0: how many rows each row counts as. None: as one.

    Raises
    ------
    ShapeError
        If shapes do not fit, there are no rows, a class index is out of range, or a row of probabilities or the prior
        does not sum to 1.

    Examples
    --------
    >>> log_probs = np.log([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
    >>> result = evaluate_log_probs(
    ...     log_probs, np.array([0, 0, 1, 1]), ("no", "yes"), np.array([0.5, 0.5]), np.random.default_rng(0)
    ... )
    >>> result.metrics["accuracy"]
    Estimate(value=0.75, low=0.25, high=1.0)
    >>> round(result.metrics["log_loss"].value, 4), round(result.baseline["log_loss"], 4)
    (0.5108, 0.6931)
    """
    return judge(log_probs, target, classes, prior, rng, weight)[0]


def judge(
    log_probs: Scores,
    target: IntArray,
    classes: tuple[Label, ...],
    prior: FloatArray,
    rng: np.random.Generator,
    weight: FloatArray | None,
) -> tuple[Evaluation, Mapping[str, Resampled]]:
    """Return what `evaluate_log_probs` does, and the figures on each resample, so that differences can be judged."""
    check_rows(log_probs, target)
    with np.errstate(over="ignore"):  # a value that overflows is not a log-probability; the next line says so
        probs = np.exp(log_probs, dtype=np.float64)
    _check_probs(probs, classes, prior)
    resamples = resample_rows(len(target), rng, weight)
    top_deviations, top_debiased = top_label_errors(probs, target, resamples)
    class_deviations, class_debiased = classwise_errors(probs, target, resamples)
    diagram = top_label(probs, target, sample_weight=weight)
    class_diagrams = [reliability(probs[:, k], target == k, sample_weight=weight) for k in range(len(classes))]
    classwise_error = float(np.mean([calibration_error(each) for each in class_diagrams]))
    figures = {
        **resample_means(log_probs, probs, target, resamples, rng),
        "debiased_top_label_error": top_debiased,
        "debiased_classwise_error": class_debiased,
        "kernel_calibration_error": kernel_calibration_error(probs, target, rng, sample_weight=weight),
    }
    # This comes last because the number of its draws depends on the probabilities. All metrics before it use the same
    # rows
    # for any probabilities, which `compare` needs.
    predicted = probs.argmax(axis=1)
    confusion = confusion_matrix(target, predicted, len(classes), sample_weight=weight)
    counts = class_counts(confusion)
    if weight is None:
        rows_of, resampled_counts = counts, resample_confusion(confusion, rng)
    else:
        rows_of = class_counts(confusion_matrix(target, predicted, len(classes)))
        resampled_counts = resample_weighted_confusion(target, predicted, len(classes), resamples)
    rows = len(target)
    estimates = {name: figure.estimate(rows) for name, figure in figures.items()}
    estimates |= _confusion_estimates(counts, resampled_counts, rows)
    estimates["top_label_calibration_error"] = deviation_interval(calibration_error(diagram), top_deviations, rows)
    estimates["classwise_calibration_error"] = deviation_interval(classwise_error, class_deviations, rows)
    evaluation = Evaluation(
        rows=rows,
        metrics={name: estimates[name] for name in METRICS},
        calibration_p_value=calibration_p_value(probs, target, rng, sample_weight=weight),
        baseline=_baseline(prior, counts.actual),
        classes=_class_results(classes, counts, resampled_counts, class_diagrams, rows_of),
        confusion=confusion,
        reliability=diagram,
    )
    return evaluation, figures


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain dicts, lists, numbers and labels: what ``metrics.json`` holds.

    JSON has no NaN and no infinity: NaN becomes None (there are no rows for it), infinity the string ``"Infinity"``,
    which `float` reads back.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one_row = evaluate_log_probs(np.log([[0.75, 0.25]]), np.array([1]), ("no", "yes"), np.array([0.5, 0.5]), rng)
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


def _confusion_estimates(counts: ClassCounts, resampled: ClassCounts, rows: int) -> dict[str, Estimate]:
    return {
        figure.__name__: percentile_interval(float(figure(counts)), figure(resampled), rows)
        for figure in (accuracy, balanced_accuracy, macro_f1)
    }


def _baseline(prior: FloatArray, support: Counts) -> dict[str, float]:
    mass = support.sum()
    # A class of prior 0 costs nothing while it does not occur (0 * log 0 = 0), and infinity once it does.
    log_loss = 0.0 - scipy.special.xlogy(support, prior).sum() / mass
    return {"log_loss": float(log_loss), "accuracy": float(support[prior.argmax()] / mass)}


def _class_results(
    classes: tuple[Label, ...],
    counts: ClassCounts,
    resampled: ClassCounts,
    diagrams: list[Reliability],
    rows: ClassCounts,
) -> tuple[ClassResult, ...]:
    precisions = _class_estimates(precision, counts, resampled, rows.predicted)
    recalls = _class_estimates(recall, counts, resampled, rows.actual)
    f1s = _class_estimates(f1, counts, resampled, rows.actual + rows.predicted - rows.correct)
    return tuple(
        ClassResult(
            label=label,
            support=int(rows.actual[k]),
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
    if not (abs(prior.sum() - 1) < SUM_TOLERANCE and (prior >= 0).all()):
        raise ShapeError("A prior holds shares that sum to 1.", f"It is {prior}.", "Divide the counts by their sum.")
    off = ~(np.abs(probs.sum(axis=1) - 1) < SUM_TOLERANCE)
    if off.any():
        row = int(off.argmax())
        raise ShapeError(
            "The probabilities of a row sum to 1.",
            f"Those of row {row} sum to {probs[row].sum():.6g}.",
            "Give natural log-probabilities, such as log_softmax(logits), not logits or probabilities.",
        )
