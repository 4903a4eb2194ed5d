"""Numbers: scaled by their quantiles, with a flag if some are missing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crossent.errors import DataError
from crossent.kinds.blocks import Features, Widths, features_of
from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind, Target
from crossent.kinds.raw_column import RawColumn
from crossent.kinds.scale import Scale, learn_scale
from crossent.kinds.values import to_numbers
from crossent.names import shortened


@dataclass(frozen=True, eq=False)
class NumberEncoding:
    """How a column of numbers becomes one or two features."""

    column: str
    scale: Scale

    @property
    def widths(self) -> Widths:
        """Numbers only."""
        return Widths(numbers=self.scale.width)

    def encode(self, values: "pd.Series[Any]") -> Features:
        """Return the features of ``(n,)`` numbers."""
        return features_of(len(values), numbers=self.scale.encode(values.to_numpy()))

    def unseen(self, values: "pd.Series[Any]") -> str:
        """Return an empty text, because every number can be encoded."""
        del values
        return ""


def _claims(raw: RawColumn) -> Claim | None:
    if raw.is_texts:
        mine = raw.are_numbers
    else:
        mine = pd.api.types.is_numeric_dtype(raw.cells.dtype) or pd.api.types.is_timedelta64_dtype(raw.cells.dtype)
    return Claim() if mine and not raw.count_rows else None


def _convert(values: "pd.Series[Any]", _column: Column) -> "pd.Series[Any]":
    is_plain = values.dtype == np.float64
    numbers = values.to_numpy() if is_plain else to_numbers(values)
    is_infinite = np.isinf(numbers)
    if is_infinite.any():
        infinite = np.flatnonzero(is_infinite)
        raise DataError(
            "Numbers must be finite.",
            f"Column {shortened(values.name)} holds {len(infinite)} infinite value(s), "
            f"the first in row {infinite[0] + 1}.",
            "Leave such a value empty (missing is allowed), or replace it.",
        )
    # Building a series takes longer than everything else that is done with a single row.
    return values if is_plain else pd.Series(numbers, index=values.index, name=values.name)


def _learn(values: "pd.Series[Any]", _target: Target, _num_classes: int) -> tuple[NumberEncoding, Features]:
    encoding = NumberEncoding(str(values.name), learn_scale(values.to_numpy(np.float64)))
    return encoding, encoding.encode(values)


NUMBER = Kind(
    "number",
    _claims,
    plural="numbers",
    gives=frozenset({"numbers"}),
    convert=_convert,
    encoding=NumberEncoding,
    learn=_learn,
)
