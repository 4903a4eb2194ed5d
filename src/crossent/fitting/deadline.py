"""The time limit that all fits of a training share."""

import dataclasses
import math
import time

from crossent.monitoring.records import EpochRecord, OnEpoch


class Deadline:
    """The deadline of all fits, which share the time equally; it also passes on epochs and remembers a stop.

    Parameters
    ----------
    on_epoch
        Called with every epoch; returns True to stop all fits.
    seconds
        For all fits together, from now on; each has an equal share of what is left. None sets no bound.
    fits
        Number of fits.
    """

    def __init__(self, on_epoch: OnEpoch, seconds: float | None, fits: int) -> None:
        self.stopped = False
        self._on_epoch, self._fits = on_epoch, fits
        self._ends = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._ends

    def fold(self, fold: int, folds: int) -> OnEpoch:
        """Return the function that the next fit calls with each of its epochs: True ends that fit."""
        began = time.monotonic()
        ends = began + max(self._ends - began, 0.0) / max(self._fits, 1)
        self._fits -= 1

        def on_epoch(record: EpochRecord) -> bool:
            self.stopped = self._on_epoch(dataclasses.replace(record, fold=fold, folds=folds)) or self.stopped
            return self.stopped or time.monotonic() >= ends

        return on_epoch
