"""Progress of training: one live line on a terminal; elsewhere a plain line from time to time."""

import contextlib
import signal
import time
from types import FrameType

from rich.live import Live
from rich.text import Text

from crossent.cli.terminal import Console
from crossent.monitoring.records import EpochRecord
from crossent.monitoring.words import PLAIN_SECONDS, FoldLosses

LIVE_SECONDS = 0.1


class Progress:
    """Shows epochs as they come; the first Ctrl-C or SIGTERM interrupts training after its step, the second at once.

    Used as ``with Progress(console) as progress: finish_run(…, on_epoch=progress, interrupted=progress.interrupted)``.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else None
        self._fold = FoldLosses()
        self._fold_started = self._started = self._shown = time.monotonic()
        self.signal: int | None = None
        self._printing = self._unsaid = False

    def __enter__(self) -> "Progress":
        self._previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._live is not None:
            self._live.stop()

    def __call__(self, record: EpochRecord) -> bool:
        """Show a record; return True once training should be interrupted."""
        new_fold = not self._fold.goes_on_with(record)
        if new_fold:
            self._fold, self._fold_started = FoldLosses(), time.monotonic()
        self._fold.add(record)
        now = time.monotonic()
        # A round of boosting takes less time than drawing its line.
        if new_fold or now - self._shown > (PLAIN_SECONDS if self._live is None else LIVE_SECONDS):
            self._shown = now
            self._printing = True
            self._show(self._line(record, new_fold=new_fold))
            self._printing = False
        return self.interrupted()

    def interrupted(self) -> bool:
        """Say whether training should be interrupted; `signal` is then the number of the signal that asked for it."""
        if self._unsaid:
            self._say_what_follows()
        return self.signal is not None

    def _show(self, line: str) -> None:
        if self._live is None:
            self._console.print(line, highlight=False, soft_wrap=True)
        else:
            self._live.update(Text(line))

    def _line(self, record: EpochRecord, *, new_fold: bool) -> str:
        fold = f", fold {record.fold} of {record.folds}" if record.folds > 1 else ""
        start = f"training {record.model}{fold}, {time.monotonic() - self._started:.0f} s"
        if new_fold:
            return start
        return f"{start}: {self._fold.line(time.monotonic() - self._fold_started)}"

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        # A line must be printed completely, and the modules that rich imports for it loaded, before the next one
        # begins.
        if self._printing:
            self._unsaid = True
        else:
            self._say_what_follows()

    def _say_what_follows(self) -> None:
        self._unsaid = False
        # The disk may be full, or a thread of rich may be writing, which Python does not allow to be interrupted.
        with contextlib.suppress(RuntimeError, OSError):
            self._console.print("Finishing the step, and saving. Ctrl-C again to stop at once.")
