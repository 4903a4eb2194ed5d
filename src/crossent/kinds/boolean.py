"""Booleans: yes and no in their various spellings, encoded as two categories."""

from typing import Any

import pandas as pd

from crossent.kinds.category import CategoryEncoding, learn_categories
from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind
from crossent.kinds.raw_column import RawColumn
from crossent.kinds.values import texts_of, to_numbers

_TRUE_TEXTS = frozenset({"true", "yes", "t", "y"})
_FALSE_TEXTS = frozenset({"false", "no", "f", "n"})


def _claims(raw: RawColumn) -> Claim | None:
    if not raw.is_texts:
        return Claim() if pd.api.types.is_bool_dtype(raw.cells.dtype) else None
    # The sample is larger than the number of all spellings of these words, in capitals or not.
    if raw.is_long or raw.distinct > len(raw.sample):
        return None
    return Claim() if set(raw.sample.str.lower()) <= _TRUE_TEXTS | _FALSE_TEXTS else None


def _convert(values: "pd.Series[Any]", _column: Column) -> "pd.Series[Any]":
    lowered = texts_of(values).str.lower()
    numbers = pd.Series(to_numbers(values), index=values.index)
    texts = lowered.mask(lowered.isin(_TRUE_TEXTS) | (numbers == 1), "true")
    return texts.mask(lowered.isin(_FALSE_TEXTS) | (numbers == 0), "false")


BOOLEAN = Kind(
    "boolean",
    _claims,
    plural="words for yes and no",
    gives=frozenset({"codes"}),
    convert=_convert,
    encoding=CategoryEncoding,
    learn=learn_categories,
)
