"""The record of an epoch of training, and the function that is called with each record."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from crossent.logits import LabelledLogits


@dataclass(frozen=True)
class EpochRecord:
    """The measurements of an epoch (for boosted trees: of a round). A value that a model does not measure is None.

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
        Largest number of epochs.
    train_loss, valid_loss
        Mean cross entropy in nats on the training rows and on the held-out rows.
    train_accuracy, valid_accuracy
        Share of rows whose most probable class is the true one.
    refinement
        Mean cross entropy on the held-out rows at the best temperature for them.
    temperature
        This temperature.
    calibration_error
        Calibration error of the predicted label on the held-out rows, 0 to 1.
    gradient_norm
        Mean length of the gradient before clipping.
    learning_rate
        At the end of the epoch.
    rows_per_second
        Number of training rows divided by the time of the epoch.
    memory
        Peak memory of the process so far, in bytes.
    first_gradient_norm
        Length of the gradient of the first batch of the epoch, before clipping.
    gradient_ratio
        Length of the gradient of the first layer divided by the length for the last layer, each relative to the root of
        the number of weights.
    baseline_loss
        Entropy of the class shares in nats: the loss of a model that knows nothing else.
    valid_rows
        Number of held-out rows.
    confidently_wrong
        Share of held-out rows that are predicted to be of another class than labelled, with a probability of at least
        the mean over the rows that are rightly predicted to be of that class.
    held_out
        The logits and the target from which the measures of held-out rows are computed; None in a history that was
        read, because files do not store it.
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
        """Return what a history stores: everything except for the held-out logits.

        Examples
        --------
        >>> EpochRecord("linear", 1, 1, 1, 10, train_loss=1.0, valid_loss=1.1).to_dict()["valid_loss"]
        1.1
        """
        names = (field.name for field in dataclasses.fields(self) if field.name != "held_out")
        return {name: getattr(self, name) for name in names}


def judged_loss(record: EpochRecord) -> float:
    """Return the value that the best epoch minimises: refinement, or else held-out loss; infinite if not finite.

    Examples
    --------
    >>> judged_loss(EpochRecord("linear", 1, 1, 1, 10, train_loss=1.0, valid_loss=float("nan")))
    inf
    """
    loss = record.valid_loss if record.refinement is None else record.refinement
    return loss if math.isfinite(loss) else math.inf


# A function that is called with the record of each epoch, and ends training by returning True.
OnEpoch = Callable[[EpochRecord], bool]


def ignore_epoch(_record: EpochRecord) -> bool:
    """Do nothing, and let training go on."""
    return False
