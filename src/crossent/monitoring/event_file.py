"""`EventFile`: the file that TensorBoard reads."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import final

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from crossent.disk import naming
from crossent.monitoring.summaries import Value

# Seconds that values may wait before they are written to the disk.
_FLUSH_SECONDS = 5.0


@final
class EventFile:
    """A new file of events in a folder; it hides what older files there hold from its first step on.

    The calling thread writes the values. The writers of TensorBoard and of torch have a separate thread for this, which
    has to wait on busy cores, and training waits with it: milliseconds for each round of boosting.

    Parameters
    ----------
    folder
        Made where it is missing.
    first_step
        No step before it is written.

    Raises
    ------
    DiskError
        If the file cannot be written, here or in any of the methods.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        # TensorBoard reads the files of a folder in the order of their names.
        self._path = folder / f"events.out.tfevents.{time.time_ns()}"
        with naming(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb")
        self._records = RecordWriter(self._file)
        self._flushed = 0.0
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, values: Sequence[Value], step: int) -> None:
        """Add what a step shows."""
        self._write(Event(step=step, summary=Summary(value=values)))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            with naming(self._path):
                self._file.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Close the file."""
        with naming(self._path):
            self._file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        with naming(self._path):
            self._records.write(event.SerializeToString())
