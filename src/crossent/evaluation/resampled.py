"""Figures of an evaluation on every resample of its rows."""

import numpy as np

from crossent.evaluation.calibration import BINS
from crossent.evaluation.debiased import root, squared_calibration_error, squared_classwise_error
from crossent.evaluation.intervals import RESAMPLES, Resampled, RowResamples, draw_cells
from crossent.evaluation.metrics import FloatArray, IntArray, Scores, brier_of_rows, log_loss_of_rows
from crossent.evaluation.refinement import recalibrate

# Probabilities that are resampled at a time: what keeps the sums of the groups in some 100 MB.
_AT_ONCE = 2_000_000
_MOST_CLASSES_AT_ONCE = 32


def resample_means(
    log_probs: Scores, probs: FloatArray, target: IntArray, resamples: RowResamples, rng: np.random.Generator
) -> dict[str, Resampled]:
    """Return log-loss and Brier score, the two parts of each, and the accuracy; see `recalibrate` for the parts.

    The calibration part is what the recalibration lowers the loss by. It is given as it is: a little below 0 where
    there is nothing to gain, so that the two parts always add up to the loss. Resamples keep the recalibration. A
    single row has no parts: they are NaN.
    """
    losses = {"log_loss": log_loss_of_rows(log_probs, target), "brier": brier_of_rows(probs, target)}
    if len(target) > 1:
        recalibrated = recalibrate(log_probs, target, rng, resamples.weight)
        remaining = {
            "log_loss": log_loss_of_rows(recalibrated, target),
            "brier": brier_of_rows(np.exp(recalibrated), target),
        }
    else:
        remaining = dict.fromkeys(losses, np.full(len(target), np.nan))
    values = {"accuracy": (probs.argmax(axis=1) == target).astype(np.float64)}
    for name, loss in losses.items():
        values |= {name: loss, f"{name}_calibration": loss - remaining[name], f"{name}_refinement": remaining[name]}
    means = {name: float(np.average(each, weights=resamples.weight)) for name, each in values.items()}
    return {name: Resampled(means[name], resamples.means(each)) for name, each in values.items()}


def top_label_errors(probs: FloatArray, target: IntArray, resamples: RowResamples) -> tuple[FloatArray, Resampled]:
    """Return the deviations of the predicted label's bins, ``(R,)``, and its debiased calibration error."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == target
    cells = draw_cells(resamples, confidence[:, None], right[:, None], BINS)
    squared = squared_calibration_error(confidence, right, sample_weight=resamples.weight)
    return cells.deviations(), debias(squared, cells.squared_error(), cells.squared_errors())


def classwise_errors(probs: FloatArray, target: IntArray, resamples: RowResamples) -> tuple[FloatArray, Resampled]:
    """Return the deviations of the bins of all classes, averaged over classes, and the debiased classwise error."""
    rows, class_count = probs.shape
    at_once = int(np.clip(_AT_ONCE // rows, 1, _MOST_CLASSES_AT_ONCE))
    deviations, plain, plain_draws = np.zeros(RESAMPLES), 0.0, np.zeros(RESAMPLES)
    for start in range(0, class_count, at_once):
        some = np.arange(start, min(start + at_once, class_count))
        cells = draw_cells(resamples, probs[:, some], target[:, None] == some, BINS)
        deviations += cells.deviations() / class_count
        plain += cells.squared_error() / class_count
        plain_draws += cells.squared_errors() / class_count
    squared = squared_classwise_error(probs, target, sample_weight=resamples.weight)
    return deviations, debias(squared, plain, plain_draws)


def debias(squared: float, plain: float, plain_draws: FloatArray) -> Resampled:
    """Return the root of a debiased squared error and its resamples.

    Resampling adds the bias of chance once more, so that it is taken off the resamples twice.

    Parameters
    ----------
    squared
        The unbiased squared error.
    plain, plain_draws
        The same with its bias, of the rows and of each resample, ``(R,)``.

    Examples
    --------
    >>> debias(0.04, 0.05, np.array([0.06, 0.03])).draws.round(4)
    array([0.2, 0.1])
    """
    bias = plain - squared
    return Resampled(root(squared), np.sqrt(np.maximum(plain_draws - 2 * bias, 0.0)))
