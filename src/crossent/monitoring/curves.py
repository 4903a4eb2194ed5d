"""The records of one training as arrays, with the scale by which its losses are judged."""

import array
import math
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from crossent.monitoring.records import EpochRecord

Array = npt.NDArray[np.float64]
# Each curve, and its name in records.
_COLUMNS = {
    "train": "train_loss",
    "valid": "valid_loss",
    "refinement": "refinement",
    "valid_accuracy": "valid_accuracy",
    "temperature": "temperature",
    "confidently_wrong": "confidently_wrong",
    "gradient_norm": "gradient_norm",
    "first_gradient_norm": "first_gradient_norm",
    "gradient_ratio": "gradient_ratio",
    "learning_rate": "learning_rate",
}


@dataclass(frozen=True, eq=False)
class Curves:
    """One training: each curve ``(E,)``, NaN where nothing was measured.

    Attributes
    ----------
    epoch
        Number of each epoch, counted from 1.
    train, valid, refinement
        Losses in nats.
    valid_accuracy, temperature, confidently_wrong, gradient_norm, first_gradient_norm, gradient_ratio,
    learning_rate
        As in `EpochRecord`.
    scale
        The loss of knowing only the class shares, in nats: measured, or the highest loss of the first epoch.
    valid_rows
        Number of held-out rows, or None.
    ran_out
        Whether training used all of its epochs.
    """

    epoch: npt.NDArray[np.int64]
    train: Array
    valid: Array
    refinement: Array
    valid_accuracy: Array
    temperature: Array
    confidently_wrong: Array
    gradient_norm: Array
    first_gradient_norm: Array
    gradient_ratio: Array
    learning_rate: Array
    scale: float
    valid_rows: int | None
    ran_out: bool

    @property
    def best(self) -> int:
        """Position of the lowest held-out loss."""
        return int(np.nanargmin(self.valid))

    @property
    def steps_are_chosen(self) -> bool:
        """Whether a learning rate was set; solvers that choose the length of their steps themselves record none."""
        return bool(np.isfinite(self.learning_rate).any())

    @property
    def stopped_itself(self) -> bool:
        """Whether a solver ended before its last epoch, because it had nothing more to gain."""
        return not self.steps_are_chosen and not self.ran_out


@final
class CurveBuilder:
    """Collects the records of one training as they come, in a hundredth of the memory that the records take.

    Examples
    --------
    >>> builder = CurveBuilder()
    >>> builder.add(EpochRecord("linear", 1, 1, 1, 10, train_loss=1.0, valid_loss=1.1))
    >>> builder.curves().valid
    array([1.1])
    """

    def __init__(self) -> None:
        self._epoch = array.array("q")
        self._columns = {name: array.array("d") for name in _COLUMNS.values()}
        self._first: EpochRecord | None = None
        self._baseline: float | None = None

    def add(self, record: EpochRecord) -> None:
        """Add the next epoch."""
        self._first, self._last = self._first or record, record
        # Held-out rows of a single class have a baseline of 0, by which no loss can be judged.
        self._baseline = self._baseline or record.baseline_loss
        self._epoch.append(record.epoch)
        for name, column in self._columns.items():
            value = getattr(record, name)
            column.append(math.nan if value is None else value)

    def curves(self) -> Curves:
        """Return the records so far, one or more, as arrays."""
        assert self._first is not None
        started = [loss for loss in (self._first.train_loss, self._first.valid_loss) if np.isfinite(loss)]
        columns = {field: np.array(self._columns[name]) for field, name in _COLUMNS.items()}
        return Curves(
            epoch=np.array(self._epoch),
            **columns,
            scale=self._baseline or max(started, default=1.0),
            valid_rows=self._last.valid_rows,
            ran_out=self._last.epoch >= self._last.epochs,
        )


def level(curve: Array) -> float:
    """Return the level at which a curve ends: the median of its last three values."""
    return float(np.median(curve[-3:]))
