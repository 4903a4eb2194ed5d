"""The records of one training as arrays, with the scale that its losses are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.train.monitor import EpochRecord

Array = npt.NDArray[np.float64]


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
        The loss of knowing nothing but the class shares, in nats: measured, or the highest of the first epoch.
    valid_rows
        Number of rows held out, or None.
    ran_out
        Whether the last epoch is the last that there could be.
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
        """Whether somebody chose the length of the steps; solvers that choose it themselves record none."""
        return bool(np.isfinite(self.learning_rate).any())

    @property
    def stopped_itself(self) -> bool:
        """Whether a solver ended before its last epoch: it saw nothing more to gain, and keeps its best."""
        return not self.steps_are_chosen and not self.ran_out


def curves(records: Sequence[EpochRecord]) -> Curves:
    """Return the records of one training, one or more, as arrays."""
    first, last = records[0], records[-1]
    # Rows held out of one class alone have a baseline of nothing, by which no loss can be judged.
    measured = [record.baseline_loss for record in records if record.baseline_loss]
    started = [loss for loss in (first.train_loss, first.valid_loss) if np.isfinite(loss)]
    return Curves(
        epoch=np.array([record.epoch for record in records]),
        train=_column([record.train_loss for record in records]),
        valid=_column([record.valid_loss for record in records]),
        refinement=_column([record.refinement for record in records]),
        valid_accuracy=_column([record.valid_accuracy for record in records]),
        temperature=_column([record.temperature for record in records]),
        confidently_wrong=_column([record.confidently_wrong for record in records]),
        gradient_norm=_column([record.gradient_norm for record in records]),
        first_gradient_norm=_column([record.first_gradient_norm for record in records]),
        gradient_ratio=_column([record.gradient_ratio for record in records]),
        learning_rate=_column([record.learning_rate for record in records]),
        scale=measured[0] if measured else max(started, default=1.0),
        valid_rows=last.valid_rows,
        ran_out=last.epoch >= last.epochs,
    )


def level(curve: Array) -> float:
    """Return where a curve ends: the median of its last three values."""
    return float(np.median(curve[-3:]))


def _column(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
