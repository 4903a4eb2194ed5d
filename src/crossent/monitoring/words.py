"""Shows a training in one line: epoch, losses with sparklines, the best epoch so far, time left."""

import array
import math
from collections.abc import Sequence
from typing import final

import numpy as np

from crossent.monitoring.records import EpochRecord

# Without a terminal, there is at most one line in this number of seconds.
PLAIN_SECONDS = 5.0
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 12


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """Draw values from left to right, the highest as a full block, with a gap for each value that is not finite.

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
    # Values are halved, because the span of the largest numbers would overflow.
    low, span = finite.min() / 2, max(float(finite.max() / 2 - finite.min() / 2), 1e-12)
    heights = [(value / 2 - low) / span * (len(_BLOCKS) - 1) if np.isfinite(value) else -1 for value in shown]
    return "".join(" " if height < 0 else _BLOCKS[round(height)] for height in heights)


@final
class FoldLosses:
    """The losses of the epochs of a fold, as they come.

    Examples
    --------
    >>> fold = FoldLosses()
    >>> fold.add(EpochRecord("network", 1, 1, 1, 3, train_loss=1.0, valid_loss=1.25, learning_rate=0.1))
    >>> fold.line(5.0)
    'epoch 1 of 3, 10 s left: train 1.0000 ▁, held out 1.2500 ▁, best 1.2500 in epoch 1'
    """

    def __init__(self) -> None:
        self._train, self._valid = array.array("d"), array.array("d")
        self._best: tuple[float, int] | None = None
        self.model, self.fold, self._epoch, self._epochs = "", 0, 0, 0

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self._train)

    def goes_on_with(self, record: EpochRecord) -> bool:
        """Say whether an epoch is a later one of this fold."""
        return (self.model, self.fold) == (record.model, record.fold) and record.epoch > self._epoch

    def add(self, record: EpochRecord) -> None:
        """Add the next epoch."""
        self.model, self.fold, self._epoch, self._epochs = record.model, record.fold, record.epoch, record.epochs
        self._train.append(record.train_loss)
        self._valid.append(record.valid_loss)
        best = record.valid_loss if math.isfinite(record.valid_loss) else math.inf
        if self._best is None or best < self._best[0]:
            self._best = best, record.epoch

    def line(self, seconds: float | None) -> str:
        """Return the progress of the training, with the time left if the time of its epochs is known."""
        best, epoch = self._best or (math.inf, 0)
        return (
            f"epoch {self._epoch} of {self._epochs}{self._left(seconds)}: train {self._train[-1]:.4f}"
            f" {sparkline(self._train)}, held out {self._valid[-1]:.4f} {sparkline(self._valid)}, best {best:.4f} in"
            f" epoch {epoch}"
        )

    def _left(self, seconds: float | None) -> str:
        """Return the time until the last possible epoch."""
        if seconds is None:
            return ""
        left = seconds / len(self) * (self._epochs - self._epoch)
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
