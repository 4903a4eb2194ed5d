"""Categories: names, each of which has its own code if it is frequent enough."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from crossent.kinds.blocks import Features, Widths, features_of
from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind, Target
from crossent.kinds.raw_column import RawColumn
from crossent.kinds.values import texts_of
from crossent.kinds.vocabulary import Vocabulary, learn_vocabulary


@dataclass(frozen=True, eq=False)
class CategoryEncoding:
    """How a column of names becomes codes."""

    column: str
    vocabulary: Vocabulary

    @property
    def widths(self) -> Widths:
        """One column of codes."""
        return Widths(cardinalities=(self.vocabulary.cardinality,))

    def encode(self, values: "pd.Series[Any]") -> Features:
        """Return the features of ``(n,)`` names."""
        codes = self.vocabulary.encode(values)
        return features_of(len(values), codes=[codes], cardinalities=[self.vocabulary.cardinality])

    def unseen(self, values: "pd.Series[Any]") -> str:
        """Say which names were not seen in training."""
        return self.vocabulary.unseen(values)


def learn_categories(values: "pd.Series[Any]", _target: Target, _num_classes: int) -> tuple[CategoryEncoding, Features]:
    """Learn the names of a column."""
    encoding = CategoryEncoding(str(values.name), learn_vocabulary(values))
    return encoding, encoding.encode(values)


def _claims(raw: RawColumn) -> Claim:
    mixed = raw.is_texts and not raw.are_numbers and raw.share_of_numbers > 0
    return Claim(f"{raw.share_of_numbers:.0%} of its values are numbers; all are read as names" if mixed else "")


def _convert(values: "pd.Series[Any]", _column: Column) -> "pd.Series[Any]":
    texts = texts_of(values)
    # An integer column with a gap arrives as floats; 3 and 3.0 are one category.
    return texts.str.removesuffix(".0") if pd.api.types.is_float_dtype(values.dtype) else texts


CATEGORY = Kind(
    "category",
    _claims,
    plural="names",
    gives=frozenset({"codes"}),
    convert=_convert,
    encoding=CategoryEncoding,
    learn=learn_categories,
    takes_categories=True,
)
