"""The frozen table that training starts from."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.kinds.column import Column, Label


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows with labels.

    Attributes
    ----------
    frame
        The n rows of the columns in use: ``number`` as float64 with NaN for missing, ``category``, ``boolean``
        and ``text`` as text, ``date`` as datetime64. The index counts the rows of the source from 0, so that a row can
        be found again.
    columns
        Every column of the source except target, groups and time, also the columns that are left out.
    target
        ``(n,)`` int64 positions in ``classes``.
    classes
        The K labels, in column order. Fixed here: later stages never add or drop one.
    target_name
        Name of the target column.
    groups
        ``(n,)`` int64 group of each row, or None.
    time
        ``(n,)`` float64 moment of each row, or None.
    source
        Where the rows came from, for people.
    notes
        What people should know about how the rows were read.
    distribution
        ``(n, K)`` float32 shares of the classes of each row, which sum to one and which the target was drawn from;
        None where each row is of one class for certain.
    """

    frame: pd.DataFrame
    columns: tuple[Column, ...]
    target: npt.NDArray[np.int64]
    classes: tuple[Label, ...]
    target_name: str
    groups: npt.NDArray[np.int64] | None = None
    time: npt.NDArray[np.float64] | None = None
    source: str = "memory"
    notes: tuple[str, ...] = ()
    distribution: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.target)

    @property
    def class_counts(self) -> npt.NDArray[np.int64]:
        """``(K,)`` rows of each class."""
        return np.bincount(self.target, minlength=len(self.classes))

    @property
    def prior(self) -> npt.NDArray[np.float64]:
        """``(K,)`` shares of the classes in all rows."""
        if self.distribution is not None:
            return np.asarray(self.distribution.mean(axis=0, dtype=np.float64))
        return self.class_counts / len(self)

    def take(self, rows: npt.NDArray[Any]) -> "Dataset":
        """Return the dataset of the given rows, by position or mask, with the same classes and columns."""
        return dataclasses.replace(
            self,
            frame=self.frame.loc[rows] if rows.dtype == bool else self.frame.iloc[rows],
            target=self.target[rows],
            groups=None if self.groups is None else self.groups[rows],
            time=None if self.time is None else self.time[rows],
            distribution=None if self.distribution is None else self.distribution[rows],
        )
