"""Commands that read the history of a run: what went wrong in it, and where it stands."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import final

from rich.live import Live
from rich.text import Text

from crossent.cli.terminal import Console
from crossent.errors import DataError
from crossent.train.diagnose import diagnose as find
from crossent.train.monitor import EpochRecord, read_history
from crossent.train.words import PLAIN_SECONDS, epoch_line

# How often a run is looked at.
LOOK_SECONDS = 0.5


def diagnose(run: Path) -> None:
    """Print what is wrong in the history of a run."""
    records = _records(_history_file(run))
    console = Console(highlight=False, soft_wrap=True)
    if not records:
        console.print("No epoch has ended yet.")
        return
    for model in dict.fromkeys(record.model for record in records):
        own = [record for record in records if record.model == model]
        folds = len({record.fold for record in own})
        best = min(own, key=lambda record: record.valid_loss)
        where = f" of fold {best.fold}" if folds > 1 else ""
        console.print(
            f"{model}: {len(own):,} epochs{f' in {folds} folds' if folds > 1 else ''},"
            f" best held-out log-loss {best.valid_loss:.4f} in epoch {best.epoch}{where}.",
            markup=False,
        )
        for finding in find(own) or ("Nothing looks wrong.",):
            console.print(f"  {finding}", markup=False)


def watch(run: Path, patience: float) -> None:
    """Show a run as it goes on, until no record has come for so many seconds or its report is there."""
    path = _history_file(run)
    console = Console(highlight=False, soft_wrap=True)
    live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
    seen, shown, changed, clock = 0, -PLAIN_SECONDS, time.monotonic(), _Clock()
    try:
        if live is not None:
            live.start()
        while True:
            # Looked for before the records are read: what was written before it is then not missed.
            ended = (run / "report.html").exists()
            records = _records(path)
            if len(records) > seen:
                seen, changed = len(records), time.monotonic()
                line = _line(records, clock)
                if live is not None:
                    live.update(Text(line), refresh=True)
                elif time.monotonic() - shown > PLAIN_SECONDS:
                    shown = time.monotonic()
                    console.print(line, markup=False)
            if ended or time.monotonic() - changed > patience:
                break
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        if live is not None:
            live.stop()
    if seen:
        console.print(line, markup=False)
    diagnose(run)


def _line(records: tuple[EpochRecord, ...], clock: "_Clock") -> str:
    """Return where the fold stands that the last record is of."""
    last = records[-1]
    own = [record for record in records if (record.model, record.fold) == (last.model, last.fold)]
    fold = f", fold {last.fold} of {last.folds}" if last.folds > 1 else ""
    return f"{last.model}{fold}: {epoch_line(own, clock.seconds(own))}"


@final
class _Clock:
    """Tells how long folds take: records have no times, so that only epochs that come while it runs are timed."""

    def __init__(self) -> None:
        self._fold: tuple[str, int] | None = None
        self._count, self._since = 0, 0.0

    def seconds(self, records: Sequence[EpochRecord]) -> float | None:
        """Return how long the epochs of a fold took, all as fast as those timed; None where none has been."""
        fold = (records[0].model, records[0].fold)
        if fold != self._fold:
            self._fold, self._count, self._since = fold, len(records), time.monotonic()
        timed = len(records) - self._count
        return (time.monotonic() - self._since) / timed * len(records) if timed else None


def _history_file(run: Path) -> Path:
    path = run if run.is_file() else run / "history.jsonl"
    if not path.is_file():
        raise DataError("A run has a history.", f"There is no file {path}.", "Give its folder: runs/NAME.")
    return path


def _records(path: Path) -> tuple[EpochRecord, ...]:
    try:
        return read_history(path)
    except (ValueError, TypeError) as error:
        fix = "Give the folder of a run, or of a Monitor."
        raise DataError("A history holds one record of an epoch a line.", f"{path}: {error}.", fix) from error
