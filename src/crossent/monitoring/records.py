"""The record that training leaves behind, one per epoch, and the function that watches it."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from crossent.logits import LabelledLogits


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch (for boosted trees: one round) looked like.

    Attributes
    ----------
    model
        Name of the model: ``"linear"``, ``"boosting"``, ``"network"``.
    fold
        Which fold is held out, counted from 1; 1 of 1 for a single split.
    folds
        How many folds there are.
    epoch
        Counted from 1.
    epochs
        The most that there can be.
    train_loss, valid_loss
        Mean cross entropy in nats on the training rows and on the rows held out.
    train_accuracy, valid_accuracy
        Share of rows whose most probable class is the true one.
    refinement
        Mean cross entropy on the rows held out after the temperature that suits them best.
    temperature
        That temperature.
    calibration_error
        Of the predicted label, on the rows held out, 0 to 1.
    gradient_norm
        Mean length of the gradient before clipping.
    learning_rate
        At the end of the epoch.
    rows_per_second
        Training rows by the time of the epoch.
    memory
        Most bytes that the process has held.
    first_gradient_norm
        Length of the gradient of the first batch of the epoch, before clipping.
    gradient_ratio
        Length of the gradient of the first layer by that of the last, for the size of their weights.
    baseline_loss
        Entropy of the class shares in nats: the loss of a model that knows nothing else.
    valid_rows
        Number of rows held out.
    confidently_wrong
        Share of rows held out that are predicted to be of another class than labelled, at least as surely as
        those that are rightly predicted to be of it are on average.
    held_out
        What all of the measures of rows held out rest on; None in a history that was read, for it is not kept.

    What a model does not measure is None.
    """

    model: str
    fold: int
    folds: int
    epoch: int
    epochs: int
    train_loss: float
    valid_loss: float
    train_accuracy: float | None = None
    valid_accuracy: float | None = None
    refinement: float | None = None
    temperature: float | None = None
    calibration_error: float | None = None
    gradient_norm: float | None = None
    learning_rate: float | None = None
    rows_per_second: float | None = None
    memory: float | None = None
    first_gradient_norm: float | None = None
    gradient_ratio: float | None = None
    baseline_loss: float | None = None
    valid_rows: int | None = None
    confidently_wrong: float | None = None
    held_out: LabelledLogits | None = dataclasses.field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, str | float | None]:
        """Return what a history keeps: all but the held-out logits.

        Examples
        --------
        >>> EpochRecord("linear", 1, 1, 1, 10, train_loss=1.0, valid_loss=1.1).to_dict()["valid_loss"]
        1.1
        """
        names = (field.name for field in dataclasses.fields(self) if field.name != "held_out")
        return {name: getattr(self, name) for name in names}


def judged_loss(record: EpochRecord) -> float:
    """Return what epochs are judged by: refinement, or where it was not measured held-out loss; infinite if lost.

    Examples
    --------
    >>> judged_loss(EpochRecord("linear", 1, 1, 1, 10, train_loss=1.0, valid_loss=float("nan")))
    inf
    """
    loss = record.valid_loss if record.refinement is None else record.refinement
    return loss if math.isfinite(loss) else math.inf


# Watches training, and ends it by returning True.
OnEpoch = Callable[[EpochRecord], bool]


def ignore_epoch(_record: EpochRecord) -> bool:
    """Watch nothing, stop nothing."""
    return False
