"""``history.jsonl``, with a record of an epoch in each line: writing it, repairing it after a crash, following it."""

import json
import os
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, final

from crossent.disk import naming, replacing
from crossent.errors import DataError
from crossent.monitoring.records import EpochRecord

# Longer lines hold no record; they are skipped without being stored.
_MOST_BYTES = 100_000
_LONGEST_NAME, _HIGHEST = 100, 2**53
_HINTS = {name: hint for name, hint in typing.get_type_hints(EpochRecord).items() if name != "held_out"}
_WHOLE = {name for name, hint in _HINTS.items() if int in (hint, *typing.get_args(hint))}


def _types(hint: typing.Any) -> frozenset[type]:
    """Return the types of JSON that a field takes; a field of float takes whole numbers, too."""
    allowed = {hint, *typing.get_args(hint)}
    return frozenset(allowed | {int}) if float in allowed else frozenset(allowed)


_TYPES = [(name, _types(hint)) for name, hint in _HINTS.items()]


@dataclass(frozen=True)
class Unreadable:
    """Lines that hold no record.

    Attributes
    ----------
    count
        The number of such lines.
    first
        The first of them, counted from 1; 0 if there are none.
    why
        What is wrong with the first one.
    """

    count: int = 0
    first: int = 0
    why: str = ""

    def __str__(self) -> str:
        lines = "1 line holds" if self.count == 1 else f"{self.count:,} lines hold"
        return f"{lines} no record of an epoch; the first is line {self.first} ({self.why})"

    def and_line(self, number: int, why: str) -> "Unreadable":
        """Return these lines and a further one."""
        return Unreadable(self.count + 1, self.first or number, self.why or why)


@final
class HistoryReader:
    r"""Reads the records that are new since its last call; a last line without its end is left for the next call.

    Parameters
    ----------
    path
        An existing ``history.jsonl``. If another file takes its place, reading starts again.

    Attributes
    ----------
    lines
        Number of lines that were read.
    unreadable
        The lines among them that hold no record.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "history.jsonl"
    >>> path.write_text("no record\n")
    10
    >>> reader = HistoryReader(path)
    >>> list(reader.read_on()), str(reader.unreadable)
    ([], '1 line holds no record of an epoch; the first is line 1 (it is not JSON)')
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset, self.lines, self.unreadable = 0, 0, 0, Unreadable()

    def read_on(self) -> Iterator[EpochRecord]:
        """Yield the new records."""
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if self._inode != status.st_ino or self._offset > status.st_size:
                self._inode, self._offset, self.lines, self.unreadable = status.st_ino, 0, 0, Unreadable()
            file.seek(self._offset)
            for line in _lines(file):
                self._offset, self.lines = file.tell(), self.lines + 1
                try:
                    record = parse_record(line)
                except ValueError as error:
                    self.unreadable = self.unreadable.and_line(self.lines, str(error))
                else:
                    yield record


class HistoryWriter:
    """Appends records to ``history.jsonl``, a JSON object in each line, flushed at once: a killed process loses none.

    An existing history is repaired first: a last line that a crash cut, and everything else that is not a record, is
    removed.

    Parameters
    ----------
    path
        Made where it is missing.

    Attributes
    ----------
    dropped
        The lines that were removed.

    Raises
    ------
    DataError
        If the path is something other than a file.
    DiskError
        If it cannot be written.

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
        if path.is_symlink() or (path.exists() and not path.is_file()):
            fix = "Remove it: only the curves depend on it."
            raise DataError("A history is a plain file.", f"{path} is a link, a folder or a device.", fix)
        # The last epoch that the history of an interrupted run has of each training.
        self._last: dict[tuple[str, int], int] = {}
        self.dropped = self._mend() if path.exists() else Unreadable()
        self._file = self._open()

    def __enter__(self) -> "HistoryWriter":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with naming(self._path):
            self._file.close()

    def write(self, record: EpochRecord) -> None:
        """Append a record; it replaces the records of an interrupted training that it repeats."""
        training = (record.model, record.fold)
        if self._last.pop(training, 0) >= record.epoch:
            self.close()
            self._keep(lambda old: (old.model, old.fold) != training or old.epoch < record.epoch)
            self._file = self._open()
        with naming(self._path):
            self._file.write((json.dumps(record.to_dict()) + "\n").encode())
            self._file.flush()

    def sync(self) -> None:
        """Flush all records to the disk, so that a checkpoint that follows is never ahead of them."""
        with naming(self._path):
            os.fsync(self._file.fileno())

    def _open(self) -> BinaryIO:
        with naming(self._path):
            return self._path.open("ab")

    def _mend(self) -> Unreadable:
        reader = HistoryReader(self._path)
        for record in reader.read_on():
            training = (record.model, record.fold)
            self._last[training] = max(record.epoch, self._last.get(training, 0))
        dropped = reader.unreadable
        if torn := _torn_bytes(self._path):
            dropped = dropped.and_line(reader.lines + 1, f"its end is missing after {torn:,} bytes")
        if dropped.count:
            self._keep(lambda _old: True)
        return dropped

    def _keep(self, is_kept: Callable[[EpochRecord], bool]) -> None:
        """Rewrite the file with the records for which `is_kept` is true, and nothing else."""
        with naming(self._path), self._path.open("rb") as old, replacing(self._path) as new:
            for line in _lines(old):
                try:
                    record = parse_record(line)
                except ValueError:
                    continue
                if is_kept(record):
                    new.write(line)


def read_history(path: Path) -> tuple[EpochRecord, ...]:
    """Read what a `HistoryWriter` wrote or is still writing; a last line without its end is left out.

    Raises
    ------
    DataError
        If a line holds no record.
    """
    reader = HistoryReader(path)
    records = tuple(reader.read_on())
    if reader.unreadable.count:
        raise no_history(path, reader.unreadable)
    return records


def no_history(path: Path, unreadable: Unreadable) -> DataError:
    """Return the error for a file that is not a history."""
    fix = "Give the folder of a run, or of a Monitor."
    return DataError("A history holds a record of an epoch in each line.", f"{path}: {unreadable}.", fix)


def parse_record(line: bytes) -> EpochRecord:
    """Return the record of a line; names that this version does not know are ignored.

    Raises
    ------
    ValueError
        If the line holds none.

    Examples
    --------
    >>> parse_record(b'{"model": "linear", "fold": 1, "folds": 1}')
    Traceback (most recent call last):
    ValueError: it lacks epoch
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON" if len(line) <= _MOST_BYTES else "it is too long") from None
    if not isinstance(values, dict):
        raise ValueError("it holds no object in braces")
    known = {}
    for name, allowed in _TYPES:
        value = values.get(name)
        if type(value) not in allowed:
            raise ValueError(_why(name, value))
        if value is not None:
            known[name] = value
    _check(known)
    return EpochRecord(**known)


def _why(name: str, value: object) -> str:
    if value is None:
        return f"it lacks {name}"
    return f"its {name} is not a {'name' if name == 'model' else 'whole number' if name in _WHOLE else 'number'}"


def _check(values: dict[str, typing.Any]) -> None:
    model = values["model"]
    if not model.isprintable() or not 0 < len(model) <= _LONGEST_NAME:
        raise ValueError("its model is not a name")
    for name, value in values.items():
        # Only whole numbers of Python have no bounds.
        if type(value) is int and not -_HIGHEST < value < _HIGHEST:
            raise ValueError(f"its {name} is too large")
    if not 1 <= values["fold"] <= values["folds"] or values["epoch"] < 1:
        raise ValueError("its fold or epoch is out of range")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that have an end; of a line that is too long, its first bytes."""
    while line := file.readline(_MOST_BYTES + 1):
        rest = line
        while len(rest) > _MOST_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(_MOST_BYTES + 1)
        if not rest.endswith(b"\n"):
            return
        yield line


def _torn_bytes(path: Path) -> int:
    """Return how many bytes follow the end of the last line."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - _MOST_BYTES, 0))
        last = file.read(_MOST_BYTES)
    return len(last) - (last.rfind(b"\n") + 1)
