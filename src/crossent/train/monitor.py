"""The record that training leaves behind, one per epoch, and the function that watches it."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from crossent.storage import write_file


@dataclass(frozen=True, eq=False)
class HeldOutLogits:
    """What a model says of the rows held out.

    Attributes
    ----------
    logits
        ``(n, K)`` float32.
    target
        ``(n,)`` int64 class indices.
    """

    logits: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]


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
    held_out: HeldOutLogits | None = dataclasses.field(default=None, compare=False, repr=False)

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


class HistoryWriter:
    """Appends records to ``history.jsonl``, one JSON object a line, flushed at once so that a crash loses none.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "history.jsonl"
    >>> with HistoryWriter(path) as history:
    ...     history.write(EpochRecord("linear", 1, 1, 1, 10, train_loss=1.0, valid_loss=1.1))
    >>> read_history(path)[0].valid_loss
    1.1
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._goes_on = path.exists()
        self._begun: set[tuple[str, int]] = set()
        self._file: TextIO = path.open("a", encoding="utf-8")

    def __enter__(self) -> "HistoryWriter":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, record: EpochRecord) -> None:
        """Append one record; those of an interrupted training that it repeats give way."""
        if self._goes_on and (record.model, record.fold) not in self._begun:
            self._begun.add((record.model, record.fold))
            self._forget_from(record)
        self._file.write(_line(record))
        self._file.flush()

    def _forget_from(self, record: EpochRecord) -> None:
        """Remove the records of this training from this epoch on, and a last line that was not ended."""
        training = (record.model, record.fold)
        self._file.close()
        kept = [
            one for one in read_history(self._path) if (one.model, one.fold) != training or one.epoch < record.epoch
        ]
        write_file(self._path, "".join(map(_line, kept)).encode())
        self._file = self._path.open("a", encoding="utf-8")


def _line(record: EpochRecord) -> str:
    return json.dumps(record.to_dict()) + "\n"


def read_history(path: Path) -> tuple[EpochRecord, ...]:
    """Read what a `HistoryWriter` wrote, or is writing: a last line without its end is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return tuple(EpochRecord(**json.loads(line)) for line in lines if line.endswith("\n"))
