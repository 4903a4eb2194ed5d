"""Progress of training: one live line on a terminal, a plain line now and then elsewhere."""

import signal
import time
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from crossent.train.monitor import EpochRecord

# Off a terminal, at most one line in so many seconds.
PLAIN_SECONDS = 5.0


class Progress:
    """Shows epochs as they come; the first Ctrl-C asks training to end with what there is, the second ends it at once.

    Used as ``with Progress(console) as progress: fit(..., on_epoch=progress)``.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else None
        self._best: dict[tuple[str, int], float] = {}
        self._started = self._shown = time.monotonic()
        self._interrupted = False

    def __enter__(self) -> "Progress":
        self._previous = signal.signal(signal.SIGINT, self._on_interrupt)
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        signal.signal(signal.SIGINT, self._previous)
        if self._live is not None:
            self._live.stop()

    def __call__(self, record: EpochRecord) -> bool:
        """Show a record; return True once training is asked to end."""
        fold = (record.model, record.fold)
        new_fold = fold not in self._best
        self._best[fold] = min(self._best.get(fold, float("inf")), record.valid_loss)
        line = self._line(record, new_fold=new_fold)
        now = time.monotonic()
        if self._live is not None:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True))
        elif new_fold or now - self._shown > PLAIN_SECONDS:
            self._shown = now
            self._console.print(line, highlight=False, soft_wrap=True)
        return self._interrupted

    def _line(self, record: EpochRecord, *, new_fold: bool) -> str:
        fold = f", fold {record.fold} of {record.folds}" if record.folds > 1 else ""
        start = f"training {record.model}{fold}, {time.monotonic() - self._started:.0f} s"
        if new_fold:
            return start
        best = self._best[record.model, record.fold]
        return f"{start}: step {record.epoch}, held-out log-loss {record.valid_loss:.4f}, best {best:.4f}"

    def _on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._console.print("Ending soon, with the best model so far. Ctrl-C again to stop at once.")
