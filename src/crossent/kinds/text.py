"""Free text: the words, pairs of words and pieces of words that training rows share."""

from typing import Any

import numpy as np
import pandas as pd

from crossent.errors import DataError
from crossent.kinds.blocks import Features, features_of
from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind, Target
from crossent.kinds.ngram_encoding import TextEncoding, learn_ngrams
from crossent.kinds.raw_column import RawColumn
from crossent.kinds.values import texts_of, to_numbers
from crossent.names import shortened

# If the median number of words is larger than this, a column is text rather than names.
NAME_WORDS = 5
# Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese.
_UNSPACED = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)


def _claims(raw: RawColumn) -> Claim | None:
    return Claim() if raw.is_texts and _count_words(raw.sample).median() > NAME_WORDS else None


def _count_words(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Count words; in scripts without spaces between words, two characters count as one."""
    return texts.str.count(r"\S+") + texts.str.count(_UNSPACED) / 2


def _convert(values: "pd.Series[Any]", _column: Column) -> "pd.Series[Any]":
    present = values.dropna()
    # A single row of text may be "42".
    numbers = len(present) > 1 and not np.isnan(to_numbers(present)).any()
    if len(present) and (numbers or not isinstance(present.dtype, pd.StringDtype)):
        raise DataError(
            f"Column {shortened(values.name)} must hold text.",
            f"Its {len(present):,} values are {'numbers' if numbers else present.dtype}: "
            f"{shortened(present.iloc[0])}, …",
            "Give the column of text under this name, or train with it as another kind (--kind NAME=number).",
        )
    return texts_of(values)


def _learn(values: "pd.Series[Any]", target: Target, num_classes: int) -> tuple[TextEncoding, Features]:
    encoding, ngrams = learn_ngrams(values, target, num_classes)
    return encoding, features_of(len(values), ngrams=ngrams)


TEXT = Kind(
    "text",
    _claims,
    plural="texts",
    gives=frozenset({"ngrams"}),
    convert=_convert,
    encoding=TextEncoding,
    learn=_learn,
    by_fold=True,
)
