"""Commands that read the history of a run: what went wrong in it, and where it stands."""

import time
from pathlib import Path
from typing import final

import numpy as np
from rich.live import Live
from rich.text import Text

from crossent.cli.terminal import Console
from crossent.errors import DataError
from crossent.monitoring.curves import Curves
from crossent.monitoring.diagnose import curves_of, find
from crossent.monitoring.history_file import HistoryReader, no_history
from crossent.monitoring.words import PLAIN_SECONDS, FoldLosses

# Seconds between two looks at a run.
LOOK_SECONDS = 0.5


def diagnose(run: Path) -> None:
    """Print what is wrong in the history of a run."""
    path = _history_file(run)
    reader = HistoryReader(path)
    trainings = curves_of(reader.read_on())
    console = Console(highlight=False, soft_wrap=True)
    if reader.unreadable.count:
        if not trainings:
            raise no_history(path, reader.unreadable)
        console.print(f"Note: in {path}, {reader.unreadable}.", markup=False)
    if not trainings:
        console.print("No epoch has ended yet.")
        return
    for model, folds in trainings.items():
        console.print(_summary(model, folds), markup=False)
        for finding in find({model: folds}) or ("Nothing looks wrong.",):
            console.print(f"  {finding}", markup=False)


def _summary(model: str, folds: dict[int, Curves]) -> str:
    """Return the number of epochs of a model, and its best epoch."""
    lowest = {fold: np.where(np.isnan(run.valid), np.inf, run.valid) for fold, run in folds.items()}
    best = min(folds, key=lambda fold: float(lowest[fold].min()))
    position = int(lowest[best].argmin())
    many, where = (f" in {len(folds)} folds", f" of fold {best}") if len(folds) > 1 else ("", "")
    return (
        f"{model}: {sum(len(run.epoch) for run in folds.values()):,} epochs{many}, best held-out log-loss"
        f" {folds[best].valid[position]:.4f} in epoch {folds[best].epoch[position]}{where}."
    )


def watch(run: Path, patience: float) -> None:
    """Show a running training until its report is there, or no record has come for `patience` seconds."""
    path = _history_file(run)
    console = Console(highlight=False, soft_wrap=True)
    live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
    fold, shown, changed = _Fold(HistoryReader(path)), -PLAIN_SECONDS, time.monotonic()
    try:
        if live is not None:
            live.start()
        while True:
            # The report is looked for before the records are read, so that no record before it is missed.
            ended = (run / "report.html").exists()
            if fold.read_on():
                changed = time.monotonic()
                if live is not None:
                    live.update(Text(fold.line()), refresh=True)
                elif changed - shown > PLAIN_SECONDS:
                    shown = changed
                    console.print(fold.line(), markup=False)
            if ended or time.monotonic() - changed > patience:
                break
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        if live is not None:
            live.stop()
    if fold.begun:
        console.print(fold.line(), markup=False)
    diagnose(run)


@final
class _Fold:
    """The fold of the last record. Records have no times, so only epochs that end while it watches are timed."""

    def __init__(self, reader: HistoryReader) -> None:
        self._reader, self._losses, self._folds = reader, FoldLosses(), 1
        self._count, self._since = 0, time.monotonic()

    @property
    def begun(self) -> bool:
        """Whether any record has come."""
        return len(self._losses) > 0

    def read_on(self) -> bool:
        """Read the new records; return whether there were any."""
        came, before = False, self._losses
        for record in self._reader.read_on():
            if not self._losses.goes_on_with(record):
                self._losses = FoldLosses()
            self._losses.add(record)
            came, self._folds = True, record.folds
        if self._losses is not before:
            self._count, self._since = len(self._losses), time.monotonic()
        return came

    def line(self) -> str:
        """Return the progress of the fold, and how long it takes if all its epochs are as fast as those timed."""
        timed, losses = len(self._losses) - self._count, self._losses
        seconds = (time.monotonic() - self._since) / timed * len(losses) if timed else None
        where = f", fold {losses.fold} of {self._folds}" if self._folds > 1 else ""
        return f"{losses.model}{where}: {losses.line(seconds)}"


def _history_file(run: Path) -> Path:
    path = run if run.is_file() else run / "history.jsonl"
    if not path.is_file():
        met = f"{path} is a folder." if path.is_dir() else f"There is no file {path}."
        raise DataError("A run has a history.", met, "Give its folder: runs/NAME.")
    return path
