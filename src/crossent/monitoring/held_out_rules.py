"""Rules on the losses of held-out rows: overfitting, confidence, shift, wrong labels.

Each rule takes the curves of one training and returns one finding or none.
"""

import math

import numpy as np
import numpy.typing as npt

from crossent.monitoring.curves import Curves, level
from crossent.monitoring.finding import Finding
from crossent.monitoring.train_rules import FEWEST_EPOCHS

# With fewer rows, the 95 % interval of an accuracy is 20 points wide.
FEWEST_ROWS = 100
# A rise of the held-out loss matters above these shares of its lowest value and of the loss of knowing nothing.
_RISE, _RISE_OF_SCALE = 0.1, 0.02
# Temperatures between these are not worth a finding.
_COLD, _HOT = 0.8, 1.25
# Shares of all rows and of all errors that are confidently predicted to be of another class, from which on labels are
# probably wrong: where classes overlap and the model is good, fewer errors are that confident.
_NOISE, _SURE_ERRORS = 0.05, 0.3
# A model that is wrong more often, or needs a higher temperature, cannot judge labels.
_MOST_ERRORS, _HOTTEST_JUDGE = 1 / 3, 1.5


def few_rows(run: Curves) -> tuple[Finding, ...]:
    """Find too few held-out rows for reliable figures."""
    if run.valid_rows is None or run.valid_rows >= FEWEST_ROWS:
        return ()
    half = 1.96 * math.sqrt(0.25 / max(run.valid_rows, 1))
    seen = f"{run.valid_rows} rows are held out: an accuracy near 50 % is known to ±{100 * half:.0f} points."
    remedy = (
        f"Hold out {FEWEST_ROWS} rows or more, or cross-validate; do not choose an epoch or a setting by these rows."
    )
    return (Finding("too few held-out rows", seen, remedy),)


def overfitting(run: Curves) -> tuple[Finding, ...]:
    """Find a held-out loss that rises while the training loss falls, not only because of confidence."""
    if len(run.valid) < FEWEST_EPOCHS or not np.isfinite(run.valid).all() or run.stopped_itself:
        return ()
    best, end = run.best, level(run.valid)
    lowest = float(run.valid[best])
    falls = level(run.train) < run.train[best]
    measured = np.isfinite(run.refinement).all()
    judged = run.refinement if measured else run.valid
    rises = _rises(judged, run.scale)
    if falls and rises:
        since = int(np.argmin(judged))
        called = "held-out loss, at its best temperature," if measured else "held-out loss"
        seen = (
            f"Since epoch {run.epoch[since]} the {called} has risen from {judged[since]:.3f} to {level(judged):.3f},"
            f" while the training loss fell to {level(run.train):.3f}."
        )
        remedy = f"Keep the model of epoch {run.epoch[since]}; more rows, a smaller model or more regularisation help."
        return (Finding("overfitting", seen, remedy),)
    # The training rows are memorised: nothing is left to learn from them, and predictions of other rows are bad.
    if level(run.train) < 0.2 * end and lowest > 0.35 * run.scale:
        seen = (
            f"The training loss is {level(run.train):.3f}, the held-out loss {end:.3f} and at best {lowest:.3f} in"
            f" epoch {run.epoch[best]}: the model has memorised its training rows."
        )
        return (Finding("overfitting", seen, "More rows, a smaller model or more regularisation help."),)
    return ()


def confidence(run: Curves) -> tuple[Finding, ...]:
    """Find probabilities that are too sharp or too flat, by the temperature that corrects them and its gain."""
    loss, refinement, temperature = run.valid[-1], run.refinement[-1], run.temperature[-1]
    if not np.isfinite([loss, refinement, temperature]).all():
        return ()
    gain = loss - refinement
    if gain < max(0.1 * loss, _RISE_OF_SCALE * run.scale) or _COLD < temperature < _HOT:
        return ()
    hot = temperature > 1
    seen = (
        f"The best temperature for the held-out rows is {temperature:.2f}; it would lower their loss from {loss:.3f} to"
        f" {refinement:.3f}."
    )
    mend = "Divide the logits by that temperature (ce.calibrate)"
    remedy = (
        f"{mend}; this does not change how well classes are told apart." if hot else f"{mend}, or smooth labels less."
    )
    return (Finding("overconfidence" if hot else "underconfidence", seen, remedy),)


def shift(run: Curves) -> tuple[Finding, ...]:
    """Find held-out rows with a higher loss from the start, before any row could have been memorised."""
    if not np.isfinite(run.valid).all() or not np.isfinite(run.train).all():
        return ()
    gap = run.valid - run.train
    learned = int((run.train < 0.9 * run.scale).argmax())
    if run.train[learned] >= 0.9 * run.scale:
        return ()
    # In the first epoch each row is new, so its mean training loss is above the loss of other rows at its end.
    first_pass = run.steps_are_chosen and learned == 0
    least = (0.1 if first_pass else 0.3) * run.scale
    if gap[learned] < least or np.median(gap) < least:
        return ()
    seen = (
        f"In epoch {run.epoch[learned]} the held-out loss is {run.valid[learned]:.3f} and the training loss"
        f" {run.train[learned]:.3f}, too early for rows to be memorised; the gap stays"
        f" (median {float(np.median(gap)):.3f})."
    )
    remedy = (
        "Check that held-out rows are prepared like training rows (scaling, order of columns, numbering of classes)"
        " and come from the same source."
    )
    return (Finding("shift", seen, remedy),)


def label_noise(run: Curves) -> tuple[Finding, ...]:
    """Find held-out rows that are confidently predicted to be of another class than labelled.

    Where classes overlap, errors are less confident than right predictions; where labels are wrong, as confident.
    """
    late = slice(len(run.valid) // 2, None)
    flagged, right = run.confidently_wrong[late], run.valid_accuracy[late]
    if len(run.valid) < FEWEST_EPOCHS or not np.isfinite([flagged, right]).all():
        return ()
    share, errors = float(np.median(flagged)), 1 - float(np.median(right))
    if errors > _MOST_ERRORS or level(run.temperature) > _HOTTEST_JUDGE:
        return ()
    if share < _NOISE or share < _SURE_ERRORS * errors:
        return ()
    seen = (
        f"{share:.0%} of the held-out rows are predicted to be of another class as confidently as right ones; that is"
        f" {share / max(errors, share):.0%} of all errors, and stays so in the last {len(flagged)} epochs."
    )
    remedy = (
        "Read the rows of highest loss: about this share of the labels is probably wrong. Label smoothing limits the"
        " harm."
    )
    return (Finding("label noise", seen, remedy),)


def _rises(curve: npt.NDArray[np.float64], scale: float) -> bool:
    lowest = float(curve.min())
    return level(curve) - lowest > max(_RISE * lowest, _RISE_OF_SCALE * scale)
