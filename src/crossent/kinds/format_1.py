"""Encoders as models of format 1 hold them, under their names of that time, and their conversion."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from crossent.kinds import category, date, number
from crossent.kinds.ngram_encoding import TextEncoding
from crossent.kinds.scale import Scale
from crossent.kinds.vocabulary import Vocabulary, rare_hashes
from crossent.value_checks import check_distinct

# Parts of a date without and with a time of day.
_DATE, _DATE_AND_TIME = ("days", "year"), ("days", "year", "hour")

Part = TypeVar("Part", "NumberEncoding", "CategoryEncoding")
CurrentEncoding = number.NumberEncoding | date.DateEncoding | category.CategoryEncoding | TextEncoding


@dataclass(frozen=True, eq=False)
class NumberEncoding:
    """A number that a column gives: its value, or a part of a date."""

    column: str
    part: str
    center: float
    scale: float
    knots: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    flag: bool


@dataclass(frozen=True)
class CategoryEncoding:
    """A code that a column gives: of its value, or of a part of a date."""

    column: str
    part: str
    vocabulary: tuple[str, ...]
    known_rare: tuple[str, ...]


@dataclass(frozen=True)
class TableEncoder:
    """All columns but those of text."""

    numbers: tuple[NumberEncoding, ...]
    categories: tuple[CategoryEncoding, ...]

    def __post_init__(self) -> None:
        for encodings in (self.numbers, self.categories):
            check_distinct("columns and their parts", [(encoding.column, encoding.part) for encoding in encodings])


@dataclass(frozen=True)
class EncoderOfFormat1:
    """All columns."""

    table: TableEncoder
    texts: tuple[TextEncoding, ...]


def current_encodings(former: EncoderOfFormat1) -> tuple[CurrentEncoding, ...]:
    """Return the encodings of all columns, in an order in which they give the same features.

    Raises
    ------
    ValueError
        If the parts of a date are not together, or not all there.
    """
    numbers = list(former.table.numbers)
    codes = list(former.table.categories)
    encodings: list[CurrentEncoding] = []
    while numbers or codes:
        if numbers and numbers[0].part == "value":
            first = numbers.pop(0)
            encodings.append(number.NumberEncoding(first.column, _scale(first)))
        elif codes and codes[0].part == "value":
            name = codes.pop(0)
            encodings.append(category.CategoryEncoding(name.column, _vocabulary(name)))
        else:
            encodings.append(_date(numbers, codes))
    return (*encodings, *former.texts)


def _date(numbers: list[NumberEncoding], codes: list[CategoryEncoding]) -> date.DateEncoding:
    """Take the parts of a date from the beginning of both lists."""
    column = (numbers or codes)[0].column
    scales = dict(_parts(column, numbers))
    vocabularies = dict(_parts(column, codes))
    if tuple(scales) not in (_DATE, _DATE_AND_TIME) or tuple(vocabularies) != ("month", "weekday"):
        raise ValueError(f"the parts of the date {column!r} are {(*scales, *vocabularies)}")
    hour = scales.get("hour")
    return date.DateEncoding(
        column,
        days=_scale(scales["days"]),
        year=_scale(scales["year"]),
        hour=None if hour is None else _scale(hour),
        month=_vocabulary(vocabularies["month"]),
        weekday=_vocabulary(vocabularies["weekday"]),
    )


def _parts(column: str, encodings: list[Part]) -> Iterator[tuple[str, Part]]:
    while encodings and encodings[0].column == column:
        first = encodings.pop(0)
        yield first.part, first


def _scale(encoding: NumberEncoding) -> Scale:
    return Scale(encoding.center, encoding.scale, encoding.knots, encoding.scores, encoding.flag)


def _vocabulary(encoding: CategoryEncoding) -> Vocabulary:
    return Vocabulary(encoding.vocabulary, rare_hashes(encoding.known_rare))
