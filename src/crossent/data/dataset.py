"""The frozen table that training starts from."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.data.duplicates import Codes, Hashes, copy_codes, hash_rows
from crossent.kinds.column import Column, Label
from crossent.lazy import lazy_property


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
    weight
        ``(n,)`` float64 above 0: how many rows each row counts as; None where each counts as one.
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
    weight: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.target)

    @lazy_property
    def row_hashes(self) -> Hashes:
        """``(n,)`` uint64: a number for each row that is made of the values of its columns."""
        return hash_rows(self.frame)

    @lazy_property
    def copy_codes(self) -> Codes:
        """``(n,)`` int64: equal for rows that are copies of one another; see `crossent.data.duplicates.copy_codes`.

        They are searched once: whether rows are copies depends on all rows, not only on the rows that `take` returns.
        """
        return copy_codes(self.frame, self.row_hashes)

    @property
    def class_counts(self) -> npt.NDArray[np.int64]:
        """``(K,)`` rows of each class, each counted as one, whatever its weight."""
        return np.bincount(self.target, minlength=len(self.classes))

    @property
    def prior(self) -> npt.NDArray[np.float64]:
        """``(K,)`` shares of the classes in all rows, by weight."""
        if self.distribution is not None:
            return np.average(self.distribution.astype(np.float64), axis=0, weights=self.weight)
        mass = np.bincount(self.target, self.weight, minlength=len(self.classes))
        return np.asarray(mass / mass.sum())

    def take(self, rows: npt.NDArray[Any]) -> "Dataset":
        """Return the dataset of the given rows, by position or mask, with the same classes and columns."""
        taken = dataclasses.replace(
            self,
            frame=self.frame.loc[rows] if rows.dtype == bool else self.frame.iloc[rows],
            target=self.target[rows],
            groups=None if self.groups is None else self.groups[rows],
            time=None if self.time is None else self.time[rows],
            distribution=None if self.distribution is None else self.distribution[rows],
            weight=None if self.weight is None else self.weight[rows],
        )
        return self._hand_on(taken, rows)

    def with_weight(self, weight: npt.NDArray[np.float64]) -> "Dataset":
        """Return the same rows, each counted as many times as its ``(n,)`` weight says."""
        return self._hand_on(dataclasses.replace(self, weight=weight), np.arange(len(self)))

    def _hand_on(self, other: "Dataset", rows: npt.NDArray[Any]) -> "Dataset":
        for name in _LOOKED_FOR_ONCE & self.__dict__.keys():
            other.__dict__[name] = self.__dict__[name][rows]
        return other


# What a dataset hands on to its parts, once it was worked out.
_LOOKED_FOR_ONCE = {"row_hashes", "copy_codes"}
