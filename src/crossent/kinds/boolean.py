"""Booleans: yes and no in their various spellings, encoded as two categories."""

from typing import Any

import pandas as pd

from crossent.kinds.category import CategoryEncoding, learn_categories
from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind
from crossent.kinds.raw_column import RawColumn
from crossent.kinds.values import texts_of, to_numbers

_PAIRS = (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))
_OPPOSITES = {word: other for pair in _PAIRS for word, other in (pair, pair[::-1])}
_TRUE_TEXTS, _FALSE_TEXTS = (frozenset(words) for words in zip(*_PAIRS, strict=True))


def _claims(raw: RawColumn) -> Claim | None:
    if not raw.is_texts:
        return Claim() if pd.api.types.is_bool_dtype(raw.cells.dtype) else None
    # The sample is larger than the number of all spellings of these words, in capitals or not.
    if raw.is_long or raw.distinct > len(raw.sample):
        return None
    # F and N, or Y and T, are codes: each word needs the other word of its pair beside it.
    words = set(raw.sample.str.lower())
    return Claim() if all(_OPPOSITES.get(word) in words for word in words) else None


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
