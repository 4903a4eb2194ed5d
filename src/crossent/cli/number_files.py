"""Arrays of numbers from files: .npy, or tables, whose first line may hold names of columns or be a row."""

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.cli.flags import Header
from crossent.data.read import is_delimited, read_lines, read_table
from crossent.errors import DataError


@final
@dataclass(frozen=True, eq=False)
class NumberFile:
    """The content of a file of numbers.

    Attributes
    ----------
    path
        Of the file.
    lines
        ``(n,)`` or ``(n, K)`` array of a .npy file, or the lines of a table.
    named
        Whether the first line names the columns and is not a row.
    certain
        Whether that is known: from the kind of the file, from words in the first line, or from the user.
    """

    path: Path
    lines: npt.NDArray[Any] | pd.DataFrame
    named: bool
    certain: bool

    @property
    def rows(self) -> int:
        """Number of rows."""
        return (self.lines.shape[0] if self.lines.ndim else 1) - self.named

    def note(self) -> str | None:
        """Return what was guessed about the first line, for people; None where nothing was guessed."""
        if self.certain:
            return None
        meaning, other = ("names the columns", "no") if self.named else ("is a row like the others", "yes")
        return f"the first line of {self.path} holds only numbers and {meaning}; use --header {other} if this is wrong"

    def values(self) -> npt.NDArray[Any]:
        """Return the numbers.

        Raises
        ------
        DataError
            If there are none, or if other things are among them, such as row numbers.
        """
        if not isinstance(self.lines, pd.DataFrame):
            return self.lines
        frame = self.lines.iloc[int(self.named) :]
        if not len(frame):
            raise DataError(
                "A file of numbers has at least one row.",
                f"{self.path} has only the names of its columns.",
                "--header no?",
            )
        try:
            values = np.asarray(frame.apply(pd.to_numeric))
        except (ValueError, TypeError) as error:
            raise DataError(
                "Logits and labels are numbers.",
                f"{self.path}: {error}.",
                "Leave out other columns; replace each label by the index of its column, counted from 0.",
            ) from error
        nameless = self.named and bool(self.lines.iloc[0].isna().iloc[0])
        if nameless and np.array_equal(values[:, 0], np.arange(len(values))):
            raise DataError(
                "Every column of numbers belongs to a class.",
                f"The first column of {self.path} has no name and counts the rows.",
                "Write the file without it: frame.to_csv(path, index=False).",
            )
        return values


def open_numbers(path: Path, header: Header) -> NumberFile:
    """Open a file of numbers.

    Parameters
    ----------
    path
        .npy, without pickled objects, which could run code; or a table.
    header
        Whether the first line of a CSV or TSV file names the columns. With ``"auto"`` a line of numbers does not,
        unless the numbers count the columns from 0, as pandas names the columns of an array.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    if path.suffix.lower() == ".npy":
        return NumberFile(path, _load(path), named=False, certain=True)
    if not is_delimited(path):
        return NumberFile(path, read_table(path), named=False, certain=True)
    lines = read_lines(path)
    first = ["" if pd.isna(field) else str(field).strip() for field in lines.iloc[0]]
    numbers = all(not field or _is_number(field) for field in first)
    names = [field for field in first if field]
    counted = len(names) > 1 and names == [str(i) for i in range(len(names))]
    named = header == "yes" or (header == "auto" and (counted or not numbers))
    return NumberFile(path, lines, named=named, certain=header != "auto" or not numbers)


def agreed(logits: NumberFile, labels: NumberFile) -> tuple[NumberFile, NumberFile]:
    """Return two files with equal numbers of rows, if another guess about their first lines makes them equal."""
    choices = itertools.product(*([file] if file.certain else [file, _otherwise(file)] for file in (logits, labels)))
    return next(((first, second) for first, second in choices if first.rows == second.rows), (logits, labels))


def _otherwise(file: NumberFile) -> NumberFile:
    return dataclasses.replace(file, named=not file.named)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _load(path: Path) -> npt.NDArray[Any]:
    if not path.is_file():
        raise DataError("The file must exist.", f"There is no file {path}.", "Check the path.")
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise DataError(
            "An .npy file holds an array of numbers.",
            f"{path} is damaged or holds objects.",
            "Write it with numpy.save.",
        ) from error
