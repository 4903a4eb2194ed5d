"""What an evaluation says, in words."""

import math
from collections.abc import Callable

import numpy as np

from crossent.evaluation.catalogue import LEAST_P_VALUE
from crossent.evaluation.result import Comparison, Estimate, Evaluation

# A confusion of a smaller share of a class, or in a class of fewer rows, is not worth a sentence.
WORTH_SAYING = 0.1
FEWEST_ROWS = 5
MOST_CONFUSIONS = 3
# Smaller calibration errors do not matter to most readers, even where chance does not explain them.
SMALL_ERROR = 0.03


def headline(evaluation: Evaluation) -> tuple[str, ...]:
    """Return the few sentences that a reader needs first: accuracy, log-loss, calibration, confusions."""
    sentences = (accuracy_words(evaluation), log_loss_words(evaluation), calibration_words(evaluation))
    return (*sentences, *confusion_words(evaluation)[:1])


def accuracy_words(evaluation: Evaluation) -> str:
    """Say how many rows are right, compared with always answering the most common class."""
    accuracy, baseline = evaluation.metrics["accuracy"], evaluation.baseline["accuracy"]
    right = f"{percent(accuracy.value)} right{interval(accuracy, percent)}"
    return f"{right}; always answering the most common class would get {percent(baseline)}."


def log_loss_words(evaluation: Evaluation) -> str:
    """Say the log-loss, compared with the log-loss of the class shares."""
    loss, baseline = evaluation.metrics["log_loss"], evaluation.baseline["log_loss"]
    stated = f"Log-loss {loss.value:.3f}{interval(loss, '{:.3f}'.format)}"
    beside = f"knowing only how common each class is gives {baseline:.3f}"
    if not math.isfinite(loss.value) or loss.value >= baseline:
        return f"{stated}; {beside}: the model adds nothing."
    if loss.low <= baseline <= loss.high:
        return f"{stated}; {beside}: too close to tell on {evaluation.rows:,} rows."
    return f"{stated}; {beside}: the model removes {percent(1 - loss.value / baseline)} of that uncertainty."


def calibration_words(evaluation: Evaluation) -> str:
    """Say how far confidence is from accuracy."""
    error = evaluation.metrics["top_label_calibration_error"]
    stated = f"Its confidence is off by {points(error.value)} points on average{interval(error, points)}"
    if error.value <= 0.03 and error.high <= 0.08:
        return f"{stated}: the probabilities can be taken at their word."
    if error.value <= 0.07 and error.high <= 0.15:
        return f"{stated}: the probabilities are roughly right."
    if error.low > 0.03:
        return f"{stated}: take the probabilities with care."
    return f"{stated}: {evaluation.rows:,} rows are too few to tell whether the probabilities can be trusted."


def trust(evaluation: Evaluation) -> tuple[str, ...]:
    """Return the sentences on whether the probabilities can be trusted: the test, and what calibration could gain."""
    return (calibration_test_words(evaluation), refinement_words(evaluation))


def calibration_test_words(evaluation: Evaluation) -> str:
    """Say whether the rows look as if their labels were drawn from the probabilities."""
    p_value = evaluation.calibration_p_value
    said = "p at most 0.005" if p_value <= LEAST_P_VALUE else f"p = {p_value:.2f}"
    if p_value >= 0.05:
        return f"The {evaluation.rows:,} rows give no reason to doubt the probabilities ({said})."
    errors = [evaluation.metrics[f"debiased_{name}_error"].value for name in ("top_label", "classwise")]
    if max(errors) <= SMALL_ERROR:
        return f"The probabilities are off by more than chance explains ({said}), but by little."
    return f"The probabilities are off by more than chance explains: they are not calibrated ({said})."


def refinement_words(evaluation: Evaluation) -> str:
    """Say how much of the log-loss a new calibration could remove."""
    gain, remaining = (evaluation.metrics[f"log_loss_{part}"] for part in ("calibration", "refinement"))
    if not math.isfinite(gain.value):
        return "A row has a true class to which the model gave a probability of 0."
    stated = f"{remaining.value:.3f} of the log-loss would remain after the best temperature"
    if gain.value <= 0 or gain.low <= 0:
        return f"{stated}: a new calibration could gain nothing."
    return f"{stated}; it would remove {gain.value:.3f}{interval(gain, '{:.3f}'.format)}."


def calibration_effect_words(before_after: Comparison) -> str:
    """Say what calibration did to the log-loss of rows that it was not fitted to."""
    (differences,) = before_after.differences.values()
    change = differences["log_loss"]
    if change.value == change.low == change.high == 0:
        return "Calibration changed nothing: no correction lowered the log-loss of the rows held out in training."
    verb = "lowered" if change.value < 0 else "raised"
    size = Estimate(abs(change.value), *sorted((abs(change.low), abs(change.high))))
    stated = f"On these rows calibration {verb} the log-loss by {size.value:.3f}"
    if change.low < 0 < change.high:
        return f"{stated}, which may be chance ({change.low:+.3f} to {change.high:+.3f})."
    return f"{stated}{interval(size, '{:.3f}'.format)}."


def confusion_words(evaluation: Evaluation) -> tuple[str, ...]:
    """Name the classes that are confused most often."""
    confusion = evaluation.confusion.astype(np.float64)
    support = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, support, out=np.zeros_like(confusion), where=support > 0)
    np.fill_diagonal(share, 0.0)
    order = np.argsort(-share, axis=None, kind="stable")[:MOST_CONFUSIONS]
    labels = [result.label for result in evaluation.classes]
    sentences = []
    for true, predicted in zip(*np.unravel_index(order, share.shape), strict=True):
        if share[true, predicted] >= WORTH_SAYING and support[true, 0] >= FEWEST_ROWS:
            counts = f"{int(confusion[true, predicted]):,} of {int(support[true, 0]):,} rows"
            where = percent(share[true, predicted])
            sentences.append(f"{labels[true]} is taken for {labels[predicted]} in {where} of cases ({counts}).")
    return tuple(sentences)


def percent(share: float) -> str:
    """Return a share as a percentage without decimals, but never 100 % for less than all."""
    if not math.isfinite(share):
        return "unknown"
    rounded = round(100 * share)
    if (rounded == 100 and share < 1) or (rounded == 0 and share > 0):
        return f"{100 * share:.1f} %" if 0.0005 < share < 0.9995 else (">99.9 %" if share > 0.5 else "<0.1 %")
    return f"{rounded} %"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with one decimal."""
    return f"{100 * share:.1f}" if math.isfinite(share) else "unknown"


def signed_points(share: float) -> str:
    """Return a difference of shares in percentage points with its sign."""
    return f"{100 * share:+.1f}" if math.isfinite(share) else "unknown"


def interval(estimate: Estimate, form: Callable[[float], str]) -> str:
    """Return the bounds in brackets, or nothing where there are none."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return ""
    return f" ({form(estimate.low)} to {form(estimate.high)})"
