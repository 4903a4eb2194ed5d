"""Rules on the training loss and its gradients: whether the steps and the model fit the task.

Each rule takes the curves of one training and returns one finding or none. Losses are judged as shares of
`Curves.scale`, the loss of knowing nothing but the class shares.
"""

import numpy as np

from crossent.monitoring.curves import Curves, level
from crossent.monitoring.finding import Finding

# With fewer epochs than this, there is no trend to see.
FEWEST_EPOCHS = 4
# Mean gradients of a cross entropy are of the order of 1; at these lengths, factors of the layers multiply up.
_EXPLODING, _FIRST_TO_LAST = 100.0, 1000.0
# With a training loss above this share of the scale, the model has learned little.
_HIGH, _NOTHING_LEARNED = 0.65, 0.95
# Share of the whole fall of the loss that falls into the last quarter only if training is far from its end.
_STILL_FALLING = 0.15
# The mean rise per epoch in a noisy training stays below this share of the scale.
_ROUGH = 0.02


def diverging(run: Curves) -> tuple[Finding, ...]:
    """Find a loss that is no longer finite, or that ends far above its lowest value."""
    remedy = "Lower the learning rate to a third and try again; clip gradients to a length of 1."
    bad = ~np.isfinite(run.train)
    if bad.any():
        seen = f"The training loss is not finite from epoch {run.epoch[bad.argmax()]} on."
        return (Finding("diverging", seen, remedy),)
    low, end = float(run.train.min()), level(run.train)
    if len(run.train) < FEWEST_EPOCHS or end < max(1.5 * low, low + 0.3 * run.scale):
        return ()
    where = run.epoch[run.train.argmin()]
    seen = f"The training loss was {low:.3f} in epoch {where} and is {end:.3f} in the end."
    return (Finding("diverging", seen, remedy),)


def exploding_gradients(run: Curves) -> tuple[Finding, ...]:
    """Find gradients that are far longer than in a sound network, in the first batch if that was measured.

    Later gradients may be long because of too long steps; the first batch comes before any step.
    """
    norm = run.first_gradient_norm[:1] if _start_is_measured(run) else run.gradient_norm
    if not np.isfinite(norm).any():
        return ()
    highest = float(np.nanmax(norm))
    if highest < _EXPLODING:
        return ()
    where = f"epoch {run.epoch[int(np.nanargmax(norm))]}"
    seen = f"The gradient has length {highest:.3g} in {where}; about 1 is usual."
    remedy = (
        "Clip gradients to a length of 1, start with smaller weights or add normalisation layers, and scale the inputs;"
        " then lower the learning rate."
    )
    return (Finding("exploding gradients", seen, remedy),)


def _start_is_measured(run: Curves) -> bool:
    return bool(np.isfinite(run.first_gradient_norm[0]))


def _shows_a_trend(run: Curves) -> bool:
    return len(run.train) >= FEWEST_EPOCHS and bool(np.isfinite(run.train).all())


def vanishing_gradients(run: Curves) -> tuple[Finding, ...]:
    """Find first layers that no longer learn although the loss is high."""
    ratio = run.gradient_ratio[np.isfinite(run.gradient_ratio)]
    if not len(ratio) or level(run.train) < 0.5 * run.scale or np.median(ratio) > 1 / _FIRST_TO_LAST:
        return ()
    seen = (
        f"The gradient of the first layer is {float(np.median(ratio)):.1g} times as long as in the last, and the"
        f" training loss is still {level(run.train):.3f}; knowing nothing gives {run.scale:.3f}."
    )
    remedy = "Use ReLU or GELU in place of sigmoid or tanh, add skip connections or normalisation, or use fewer layers."
    return (Finding("vanishing gradients", seen, remedy),)


def learning_rate_too_high(run: Curves) -> tuple[Finding, ...]:
    """Find a training loss that jumps up and down, or that rose far above its start and stays high."""
    remedy = "Lower the learning rate to a third, or begin with a warm-up."
    if _start_is_measured(run) and diverging(run):
        seen = (
            f"The gradient of the first batch has a usual length of {run.first_gradient_norm[0]:.3g}, so the loss rose"
            f" because of steps that are too long, with a learning rate of {np.nanmax(run.learning_rate):.2g}."
        )
        return (Finding("learning rate too high", seen, remedy),)
    if not _shows_a_trend(run) or diverging(run):
        return ()
    steps = np.diff(run.train)
    up, down = float(steps.clip(min=0).sum()), float((-steps).clip(min=0).sum())
    if up > _ROUGH * run.scale * len(steps) and up > 0.3 * down:
        seen = f"The training loss rises in {int((steps > 0).sum())} of {len(steps)} epochs, by {up:.3f} in all."
        return (Finding("learning rate too high", seen, remedy),)
    if run.steps_are_chosen and run.train[0] > 1.5 * run.scale and level(run.train) > 0.5 * run.scale:
        seen = (
            f"The first epoch has a training loss of {run.train[0]:.3f}, above the {run.scale:.3f} of knowing nothing,"
            f" and it ends at {level(run.train):.3f}."
        )
        return (Finding("learning rate too high", seen, remedy),)
    return ()


def learning_rate_too_low(run: Curves) -> tuple[Finding, ...]:
    """Find a training loss that still falls from epoch to epoch, at the end as fast as before."""
    if not _shows_a_trend(run) or run.stopped_itself:
        return ()
    steps = np.diff(run.train)
    fall = float(run.train[0] - run.train[-1])
    if fall <= 0 or level(run.train) < 0.4 * run.scale or (steps < 0).mean() < 0.8:
        return ()
    quarter = max(1, len(steps) // 4)
    late = float(-steps[-quarter:].sum()) / fall
    # If every step gains the same, a quarter of the steps has a quarter of the gain.
    if late < _STILL_FALLING * (quarter / len(steps)) / 0.25:
        return ()
    seen = (
        f"The training loss falls in nearly every epoch, from {run.train[0]:.3f} to {run.train[-1]:.3f}, {late:.0%} of"
        f" the fall in the last {quarter} of {len(steps)} steps between epochs: training is far from its end."
    )
    return (Finding("learning rate too low", seen, "Triple the learning rate, or train for many more epochs."),)


def plateau(run: Curves) -> tuple[Finding, ...]:
    """Find a training loss that does not change: from the start, or since the learning rate is nearly zero."""
    if not _shows_a_trend(run):
        return ()
    half = run.train[len(run.train) // 2 :]
    flat = float(np.ptp(half)) < 0.02 * run.scale
    end = level(run.train)
    if not flat or end < 0.3 * run.scale:
        return ()
    since = run.epoch[int((np.abs(run.train - end) < 0.02 * run.scale).argmax())]
    if end > _NOTHING_LEARNED * run.scale:
        seen = f"The training loss stands at {end:.3f} since epoch {since}; knowing nothing gives {run.scale:.3f}."
        remedy = (
            "Check whether inputs and targets belong together and whether gradients reach the first layer; try learning"
            " rates ten times higher and lower."
        )
        return (Finding("plateau", seen, remedy),)
    rate = run.learning_rate
    if np.isfinite(rate).all() and (rate[len(rate) // 2] < 0.01 * rate.max()):
        seen = (
            f"The training loss stands at {end:.3f} since epoch {since}, and the learning rate has fallen from"
            f" {rate.max():.2g} to {rate[-1]:.2g}."
        )
        return (Finding("plateau", seen, "Lower the learning rate later or less."),)
    return ()


def underfitting(run: Curves) -> tuple[Finding, ...]:
    """Find a training loss that ends high, with a held-out loss not far above it, and no gain from more training."""
    end, held_out = level(run.train), level(run.valid)
    if not _shows_a_trend(run) or end < _HIGH * run.scale:
        return ()
    if held_out - end > 0.2 * end or learning_rate_too_low(run):
        return ()
    seen = (
        f"The training loss ends at {end:.3f}, the held-out loss at {held_out:.3f}; knowing nothing but the class"
        f" shares gives {run.scale:.3f}."
    )
    remedy = (
        "Use a larger model or less regularisation (dropout, weight decay); if neither helps, the features say no more"
        " about the classes, or many labels are wrong."
    )
    return (Finding("underfitting", seen, remedy),)
