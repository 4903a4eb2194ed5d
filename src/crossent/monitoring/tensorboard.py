"""Writes records of epochs, and the settings of a run, for TensorBoard."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np

from crossent.logits import LabelledLogits, log_softmax
from crossent.monitoring import summaries
from crossent.monitoring.event_file import EventFile
from crossent.monitoring.figures import confusion_picture, reliability_picture
from crossent.monitoring.records import EpochRecord, judged_loss
from crossent.monitoring.summaries import Value

# Fields that identify a record, or are the same in all records; they are not drawn.
_NOT_CURVES = {"model", "fold", "folds", "epoch", "epochs", "baseline_loss", "valid_rows"}
# Curves that belong to one chart share the part before the slash.
_TAGS = {
    "train_loss": "loss/train",
    "valid_loss": "loss/held out",
    "refinement": "loss/held out, best temperature",
    "train_accuracy": "accuracy/train",
    "valid_accuracy": "accuracy/held out",
    "temperature": "calibration/temperature",
    "calibration_error": "calibration/error",
    "memory": "training/memory, bytes",
}
# Shares of the training time that drawing may take, and the assumed seconds of the first drawing.
HISTOGRAM_SHARE, FIGURE_SHARE = 0.005, 0.01
_HISTOGRAM_SECONDS, _FIGURE_SECONDS = 0.005, 0.3
# Largest number of values in a histogram.
_MOST_VALUES = 100_000


@final
class TensorBoardWriter:
    """Writes records to a folder for each model and fold; ``tensorboard --logdir runs`` shows them.

    Measurements become scalars. Held-out logits become histograms in each epoch, and a reliability diagram and a
    confusion matrix in each epoch that is the best so far. Both are drawn only while their time is less than
    `HISTOGRAM_SHARE` and `FIGURE_SHARE` of the time since the first epoch. The last figure that was left out is drawn
    at the end, so that the last figures always show the best epoch.

    A folder that was written to before is continued: from the first epoch of the new writer on, the values of an
    earlier writer are no longer shown.

    Parameters
    ----------
    folder
        Made where it is missing.
    classes
        Names of the K classes; None for 0 to K - 1.
    """

    def __init__(self, folder: Path, classes: Sequence[object] | None = None) -> None:
        self._folder, self._classes = folder, classes
        self._trainings: dict[tuple[str, int], _Training] = {}

    def __enter__(self) -> "TensorBoardWriter":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def write(self, record: EpochRecord) -> None:
        """Add a record; values that it lacks are left out."""
        key = (record.model, record.fold)
        if key not in self._trainings:
            fold = f"-fold-{record.fold}" if record.folds > 1 else ""
            self._trainings[key] = _Training(self._folder / f"{record.model}{fold}", self._classes, record.epoch)
        self._trainings[key].write(record)

    def close(self) -> None:
        """Draw and write what is left and close the files."""
        for training in self._trainings.values():
            training.close()
        self._trainings.clear()


def write_settings(folder: Path, settings: Mapping[str, object], metrics: Mapping[str, float]) -> None:
    """Write the settings and the metrics of a run, for TensorBoard's HPARAMS.

    They go to a separate folder, ``final``, because TensorBoard takes all curves beside settings for metrics.

    Parameters
    ----------
    folder
        The folder of the `TensorBoardWriter` of the run.
    settings
        By name; numbers stay numbers, None is left out, and all else is text.
    metrics
        By name.
    """
    values = [summaries.scalar(f"final/{name}", value) for name, value in metrics.items()]
    file = EventFile(folder / "final", 0)
    file.add([summaries.settings_start(settings), *values, summaries.settings_end()], 0)
    file.close()


@final
class _Training:
    """The file of a model and a fold."""

    def __init__(self, folder: Path, classes: Sequence[object] | None, first_epoch: int) -> None:
        self._file = EventFile(folder, first_epoch)
        self._best = math.inf
        figures = functools.partial(figure_values, classes=classes)
        self._histograms = _Paced(histogram_values, self._file.add, HISTOGRAM_SHARE, _HISTOGRAM_SECONDS)
        self._figures = _Paced(figures, self._file.add, FIGURE_SHARE, _FIGURE_SECONDS)

    def write(self, record: EpochRecord) -> None:
        # All curves are in one event, because an event takes as long as many values.
        self._file.add(curve_values(record), record.epoch)
        if record.held_out is not None and np.isfinite(record.held_out.logits).all():
            self._histograms.offer(record.held_out, record.epoch)
            if judged_loss(record) < self._best:
                self._best = judged_loss(record)
                self._figures.offer(record.held_out, record.epoch)
        self._histograms.draw_if_cheap()
        self._figures.draw_if_cheap()

    def close(self) -> None:
        self._histograms.draw()
        self._figures.draw()
        self._file.close()


@final
class _Paced:
    """Draws the newest epoch that it was given, as often as possible below a share of the time."""

    def __init__(
        self,
        draw: Callable[[LabelledLogits], Sequence[Value]],
        add: Callable[[Sequence[Value], int], None],
        share: float,
        seconds: float,
    ) -> None:
        self._draw, self._add, self._share, self._seconds = draw, add, share, seconds
        self._waiting: tuple[LabelledLogits, int] | None = None
        self._started, self._spent = time.monotonic(), 0.0

    def offer(self, held_out: LabelledLogits, epoch: int) -> None:
        """Put an epoch in the waiting place, instead of the one before."""
        self._waiting = held_out, epoch

    def draw_if_cheap(self) -> None:
        """Draw the waiting epoch if the time allows it."""
        if self._spent + self._seconds <= self._share * (time.monotonic() - self._started):
            self.draw()

    def draw(self) -> None:
        """Draw the waiting epoch."""
        if self._waiting is None:
            return
        began = time.monotonic()
        held_out, epoch = self._waiting
        self._add(self._draw(held_out), epoch)
        self._waiting = None
        self._seconds = time.monotonic() - began
        self._spent += self._seconds


def curve_values(record: EpochRecord) -> list[Value]:
    """Return the measures of a record as points of curves."""
    values = []
    for name, value in record.to_dict().items():
        if name not in _NOT_CURVES and isinstance(value, int | float):
            values.append(summaries.scalar(_TAGS.get(name, f"training/{name.replace('_', ' ')}"), value))
    return values


def histogram_values(held_out: LabelledLogits) -> list[Value]:
    """Return histograms of logits of true and other classes, and of the confidence of right and wrong rows."""
    step = math.ceil(held_out.logits.size / _MOST_VALUES)
    logits, target = held_out.logits[::step], held_out.target[::step]
    true = np.arange(logits.shape[1]) == target[:, None]
    confidence = np.exp(log_softmax(logits)).max(axis=1)
    wrong = logits.argmax(axis=1) != target
    values = {
        "logits/true class": logits[true],
        "logits/other classes": logits[~true],
        "confidence/all rows": confidence,
        "confidence/wrong rows": confidence[wrong],
    }
    return [summaries.histogram(tag, of_tag) for tag, of_tag in values.items() if len(of_tag)]


def figure_values(held_out: LabelledLogits, classes: Sequence[object] | None) -> list[Value]:
    """Return a reliability diagram and a confusion matrix as pictures."""
    names = range(held_out.logits.shape[1]) if classes is None else classes
    return [
        summaries.picture("held out/reliability", reliability_picture(held_out)),
        summaries.picture("held out/confusion", confusion_picture(held_out, names)),
    ]
