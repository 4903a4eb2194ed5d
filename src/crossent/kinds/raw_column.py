"""Raw columns, from which a kind decides whether it claims a column."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.compute as pc

from crossent.kinds.values import arrow_of, numbers_of, series_of_texts
from crossent.lazy import lazy_property

# Number of distinct values in the sample, for checks that would take too long on all values.
SAMPLE = 1000
# A column counts as numbers (or dates) if at most this share of its values is not; these values are read as missing.
UNREADABLE_SHARE = 0.05
# With fewer rows, all values may be different by chance.
ENOUGH_ROWS = 50
# No number and no date has more characters; searching longer texts for one would take too long.
LONGEST_VALUE = 60


@dataclass(frozen=True, eq=False)
class RawColumn:
    """A column before a kind has claimed it.

    Attributes
    ----------
    cells
        Numbers, moments, durations, or texts in which the words for "missing" are missing.
    present, distinct
        Number of values that are not missing, and of distinct ones among them.
    sample
        The first distinct values, at most `SAMPLE`.
    declared
        Whether the frame says that they are categories, even where they look like numbers.
    """

    cells: "pd.Series[Any]"
    present: int
    distinct: int
    sample: "pd.Series[Any]"
    declared: bool

    @property
    def is_texts(self) -> bool:
        """Whether the values are texts."""
        return isinstance(self.cells.dtype, pd.StringDtype)

    @lazy_property
    def is_long(self) -> bool:
        """Whether the values are texts too long for numbers, dates and names."""
        return self.is_texts and float(self.sample.str.len().median()) > LONGEST_VALUE

    @lazy_property
    def numbers(self) -> npt.NDArray[Any]:
        """Numbers among the values, as they are or as the texts say; empty for moments and durations."""
        if self.is_texts:
            numbers = numbers_of(arrow_of(self.cells).drop_null())
            return numbers[~np.isnan(numbers)]
        present = self.cells.dropna() if pd.api.types.is_numeric_dtype(self.cells.dtype) else self.cells[:0]
        return np.asarray(present.to_numpy())

    @lazy_property
    def share_of_numbers(self) -> float:
        """Which share of the values are numbers, or texts of numbers."""
        return 0.0 if self.is_long or not self.present else len(self.numbers) / self.present

    @lazy_property
    def are_numbers(self) -> bool:
        """Whether the values are numbers, with few exceptions."""
        return self.share_of_numbers >= 1 - UNREADABLE_SHARE

    @lazy_property
    def count_rows(self) -> bool:
        """Whether the values are row numbers: whole, all different, with no gap."""
        if not self.are_numbers:
            return False
        numbers = self.numbers
        n = len(numbers)
        if n < ENOUGH_ROWS or self.distinct < n or numbers.dtype.kind not in "iuf":
            return False
        return bool(numbers.max() - numbers.min() == n - 1 and (numbers % 1 == 0).all())


def raw_column(values: "pd.Series[Any]", *, declared: bool) -> RawColumn:
    """Return a raw column.

    Parameters
    ----------
    values
        Numbers, moments, durations, or texts in which the words for "missing" are missing.
    declared
        Whether the frame says that they are categories.
    """
    if isinstance(values.dtype, pd.StringDtype):
        present: Any = arrow_of(values).drop_null()
        distinct: Any = pc.unique(present)
        sample = series_of_texts(distinct.slice(0, SAMPLE), values.name)
    else:
        present = values.dropna()
        distinct = present.drop_duplicates()
        sample = distinct.head(SAMPLE)
    return RawColumn(values, len(present), len(distinct), sample, declared)
