"""A training in one line: epoch, losses with their sparklines, best so far, time left."""

from collections.abc import Sequence

import numpy as np

from crossent.train.monitor import EpochRecord

# Off a terminal, at most one line in so many seconds.
PLAIN_SECONDS = 5.0
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 12


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """Draw values from left to right, the highest as a full block; a gap where one is not finite.

    Examples
    --------
    >>> sparkline([3.0, 2.0, 1.0])
    '█▅▁'
    """
    if not len(values):
        return ""
    # The last value of each of up to `width` equal stretches.
    ends = np.unique(np.ceil(np.linspace(0, len(values), min(width, len(values)) + 1)[1:]).astype(int) - 1)
    shown = np.asarray(values, dtype=np.float64)[ends]
    finite = shown[np.isfinite(shown)]
    if not len(finite):
        return " " * len(shown)
    # Halves, for the span of the largest numbers would overflow.
    low, span = finite.min() / 2, max(float(finite.max() / 2 - finite.min() / 2), 1e-12)
    heights = [(value / 2 - low) / span * (len(_BLOCKS) - 1) if np.isfinite(value) else -1 for value in shown]
    return "".join(" " if height < 0 else _BLOCKS[round(height)] for height in heights)


def epoch_line(history: Sequence[EpochRecord], seconds: float | None) -> str:
    """Return where a training stands, from the records of one fold and the time they took, where that is known.

    Examples
    --------
    >>> record = EpochRecord("network", 1, 1, 1, 3, train_loss=1.0, valid_loss=1.25, learning_rate=0.1)
    >>> epoch_line([record], 5.0)
    'epoch 1 of 3, 10 s left: train 1.0000 ▁, held out 1.2500 ▁, best 1.2500 in epoch 1'
    """
    last = history[-1]
    best = min(history, key=lambda record: record.valid_loss if np.isfinite(record.valid_loss) else np.inf)
    train = sparkline([record.train_loss for record in history])
    valid = sparkline([record.valid_loss for record in history])
    return (
        f"epoch {last.epoch} of {last.epochs}{_left(history, seconds)}: train {last.train_loss:.4f} {train},"
        f" held out {last.valid_loss:.4f} {valid}, best {best.valid_loss:.4f} in epoch {best.epoch}"
    )


def _left(history: Sequence[EpochRecord], seconds: float | None) -> str:
    """Return the time to the last epoch that there can be."""
    if seconds is None:
        return ""
    last = history[-1]
    left = seconds / len(history) * (last.epochs - last.epoch)
    return f", {duration(left)} left" if left > 0 else ""


def duration(seconds: float) -> str:
    """Return a time in its two largest units.

    Examples
    --------
    >>> duration(8), duration(200), duration(9000)
    ('8 s', '3 min 20 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
