"""Encoding of a table: numbers scaled, categories as codes; everything needed for it in frozen arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse
import scipy.special

from crossent.data.column import Column, Kind
from crossent.value_checks import check_bounded, check_distinct, check_number

# Codes of every category column; its vocabulary follows.
MISSING, UNSEEN, RARE = 0, 1, 2
RESERVED = 3

# A category value needs this many rows to have a code of its own, and at most so many have one; others share RARE.
FEWEST_ROWS_OF_A_VALUE = 3
MOST_VALUES = 255
# Farther than this many interquartile ranges from the median, a column is scaled by its quantiles.
LONG_TAIL = 10.0
# Where differences of two numbers, and their quantiles, are still finite: none counts as larger.
LARGEST_NUMBER = 1e300
# New values may lie beyond the training rows; none counts as farther than this many interquartile ranges.
FARTHEST = 100.0
KNOTS = 257

Part = Literal["value", "days", "year", "month", "weekday", "hour"]
NUMBER_PARTS: frozenset[Part] = frozenset({"value", "days", "year", "hour"})
CATEGORY_PARTS: frozenset[Part] = frozenset({"value", "month", "weekday"})

_PARTS: dict[Part, Callable[["pd.Series[Any]"], "pd.Series[Any]"]] = {
    "value": lambda values: values,
    "days": lambda dates: (dates - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1),
    "year": lambda dates: dates.dt.year,
    "month": lambda dates: dates.dt.month_name(),
    "weekday": lambda dates: dates.dt.day_name(),
    "hour": lambda dates: dates.dt.hour + dates.dt.minute / 60,
}


@dataclass(frozen=True)
class Widths:
    """How many features of each sort rows have, as an encoder writes them and a model reads them.

    Attributes
    ----------
    numbers
        p.
    cardinalities
        Number of codes of each of the q categories.
    ngrams
        t.
    """

    numbers: int
    cardinalities: tuple[int, ...]
    ngrams: int

    @property
    def total(self) -> int:
        """Number of all features, each code of a category being one."""
        return self.numbers + sum(self.cardinalities) + self.ngrams


@dataclass(frozen=True, eq=False)
class Features:
    """Encoded rows.

    Attributes
    ----------
    numbers
        ``(n, p)`` float32, finite, of unit order.
    codes
        ``(n, q)`` int32 category codes: 0 missing, 1 unseen in training, 2 rare, then the vocabulary.
    cardinalities
        Number of codes of each of the q categories.
    texts
        ``(n, t)`` float32 compressed sparse rows: the n-grams of the columns of text; None where there are none.
    """

    numbers: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int32]
    cardinalities: tuple[int, ...]
    texts: scipy.sparse.csr_array | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: npt.NDArray[Any]) -> "Features":
        """Return the given rows, by position or mask."""
        texts = None if self.texts is None else self.texts[rows]
        return Features(self.numbers[rows], self.codes[rows], self.cardinalities, texts)


@dataclass(frozen=True, eq=False)
class NumberEncoding:
    """How one number becomes a feature.

    ``knots`` maps to ``scores`` by linear interpolation, constant outside; where there are none, the feature is
    ``(x - center) / scale``. Missing values take ``center``; with ``flag`` a second feature says so.
    """

    column: str
    part: Part
    center: float
    scale: float
    knots: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    flag: bool

    def __post_init__(self) -> None:
        if self.part not in NUMBER_PARTS:
            raise ValueError(f"the {self.part} of column {self.column!r} is no number")
        if self.knots.ndim != 1 or self.knots.shape != self.scores.shape:
            raise ValueError(f"knots {self.knots.shape} and scores {self.scores.shape} do not fit")
        check_bounded("the knots of a number", self.knots, LARGEST_NUMBER)
        check_bounded("the scores of a number", self.scores, FARTHEST)
        check_number("the centre of a number", self.center, -LARGEST_NUMBER, LARGEST_NUMBER)
        if not (np.diff(self.knots) > 0).all() or not 0 < self.scale <= 2 * LARGEST_NUMBER:
            raise ValueError(f"the scale of a number, {self.scale!r}, must be above 0 and finite, and its knots rise")

    @property
    def kinds(self) -> frozenset[Kind]:
        """Of the columns that it can encode."""
        return frozenset({"number"}) if self.part == "value" else frozenset({"date"})


@dataclass(frozen=True)
class CategoryEncoding:
    """How one category becomes a code: position in the vocabulary plus `RESERVED`; `known_rare` values are pooled."""

    column: str
    part: Part
    vocabulary: tuple[str, ...]
    known_rare: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.part not in CATEGORY_PARTS:
            raise ValueError(f"the {self.part} of column {self.column!r} is no category")
        check_distinct(f"values of column {self.column!r}", (*self.vocabulary, *self.known_rare))

    @property
    def kinds(self) -> frozenset[Kind]:
        """Of the columns that it can encode."""
        return frozenset({"category", "boolean"}) if self.part == "value" else frozenset({"date"})

    @property
    def cardinality(self) -> int:
        """How many codes there are."""
        return RESERVED + len(self.vocabulary)


@dataclass(frozen=True)
class TableEncoder:
    """All encodings of a table, fitted on training rows."""

    numbers: tuple[NumberEncoding, ...]
    categories: tuple[CategoryEncoding, ...]

    def __post_init__(self) -> None:
        for encodings in (self.numbers, self.categories):
            check_distinct("columns and their parts", [(encoding.column, encoding.part) for encoding in encodings])

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the number features, in the order of `Features.numbers`."""
        names = []
        for encoding in self.numbers:
            name = encoding.column if encoding.part == "value" else f"{encoding.column} ({encoding.part})"
            names += [name, f"{name} is missing"] if encoding.flag else [name]
        return tuple(names)

    def encode(self, frame: pd.DataFrame) -> Features:
        """Encode the rows of a frame with the converted columns that the encoder was fitted on."""
        numbers = [feature for encoding in self.numbers for feature in _encode_number(frame, encoding)]
        codes = [_encode_category(frame, encoding) for encoding in self.categories]
        return Features(
            numbers=_side_by_side(numbers, len(frame), np.float32),
            codes=_side_by_side(codes, len(frame), np.int32),
            cardinalities=tuple(encoding.cardinality for encoding in self.categories),
        )

    def unseen(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """Say which category values of converted rows were not seen in training."""
        notes = []
        for encoding in self.categories:
            known = {*encoding.vocabulary, *encoding.known_rare}
            values = _PARTS[encoding.part](frame[encoding.column]).dropna()
            new = values[~values.isin(known)]
            if len(new):
                examples = ", ".join(repr(str(value)) for value in new.drop_duplicates().head(3))
                notes.append(
                    f"column {encoding.column!r}: {len(new):,} rows hold values not seen in training: {examples}"
                )
        return tuple(notes)


def fit_table_encoder(frame: pd.DataFrame, columns: Sequence[Column]) -> TableEncoder:
    """Fit an encoder on the rows of a converted frame.

    Parameters
    ----------
    frame
        Training rows: `Dataset.frame`.
    columns
        `Dataset.columns`.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [1.0, 2.0, np.nan, 4.0]})
    >>> encoder = fit_table_encoder(frame, [Column("x", "number", 1, 3, ("1", "2"), "")])
    >>> encoder.encode(frame).numbers[:, 1]
    array([0., 0., 1., 0.], dtype=float32)
    """
    numbers: list[NumberEncoding] = []
    categories: list[CategoryEncoding] = []
    for column in columns:
        if not column.used or column.kind == "text":
            continue
        values = frame[column.name]
        if column.kind == "number":
            numbers.append(_fit_number(values, "value"))
        elif column.kind == "date":
            has_hours = bool((values.dt.normalize() != values)[values.notna()].any())
            numbers += [_fit_number(values, part) for part in _number_parts(has_hours=has_hours)]
            categories += [_fit_category(values, part) for part in ("month", "weekday")]
        else:
            categories.append(_fit_category(values, "value"))
    return TableEncoder(tuple(numbers), tuple(categories))


def _number_parts(*, has_hours: bool) -> tuple[Part, ...]:
    return ("days", "year", "hour") if has_hours else ("days", "year")


def _fit_number(values: "pd.Series[Any]", part: Part) -> NumberEncoding:
    numbers = _numbers_of(values, part)
    missing = np.isnan(numbers)
    present = numbers[~missing]
    if not len(present):
        present = np.zeros(1)
    lower, center, upper = np.quantile(present, [0.25, 0.5, 0.75])
    reach = max(present.max() - center, center - present.min())
    spread = upper - lower
    # Half of a column with a tenfold tail would be squeezed into one point by any linear scale.
    long_tail = len(np.unique(present)) > 2 and reach > LONG_TAIL * spread
    knots, scores = _normal_scores(present) if long_tail else (np.empty(0), np.empty(0))
    scale = spread if spread > 0 else reach
    return NumberEncoding(
        str(values.name), part, float(center), float(scale) or 1.0, knots, scores, bool(missing.any())
    )


def _numbers_of(values: "pd.Series[Any]", part: Part) -> npt.NDArray[np.float64]:
    numbers = _PARTS[part](values).to_numpy(np.float64)
    return np.asarray(np.clip(numbers, -LARGEST_NUMBER, LARGEST_NUMBER))


def _normal_scores(present: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Knots at quantiles and their standard normal scores; a value that fills several quantiles gets their middle."""
    levels = np.linspace(0, 1, KNOTS)
    # The first and last knot are the extremes, so that no two values of the training rows become one.
    knots, position, count = np.unique(
        np.quantile(present, levels, method="nearest"), return_inverse=True, return_counts=True
    )
    middle = np.bincount(position, levels) / count
    margin = 0.5 / min(len(present), KNOTS)
    return knots, scipy.special.ndtri(np.clip(middle, margin, 1 - margin))


def _encode_number(frame: pd.DataFrame, encoding: NumberEncoding) -> list[npt.NDArray[np.float32]]:
    numbers = _numbers_of(frame[encoding.column], encoding.part)
    missing = np.isnan(numbers)
    numbers = np.where(missing, encoding.center, numbers)
    if len(encoding.knots):
        scaled = np.interp(numbers, encoding.knots, encoding.scores)
    else:
        scaled = np.clip((numbers - encoding.center) / encoding.scale, -FARTHEST, FARTHEST)
    feature = scaled.astype(np.float32)
    return [feature, missing.astype(np.float32)] if encoding.flag else [feature]


def _fit_category(values: "pd.Series[Any]", part: Part) -> CategoryEncoding:
    counts = _PARTS[part](values).value_counts()
    # Equal counts in the order of the names, so that the order of the rows does not matter.
    names = sorted(counts.index, key=lambda name: (-counts[name], name))
    frequent = [name for name in names if counts[name] >= FEWEST_ROWS_OF_A_VALUE][:MOST_VALUES]
    rare = names[len(frequent) :]
    return CategoryEncoding(str(values.name), part, tuple(map(str, frequent)), tuple(map(str, rare)))


def _encode_category(frame: pd.DataFrame, encoding: CategoryEncoding) -> npt.NDArray[np.int32]:
    values = _PARTS[encoding.part](frame[encoding.column])
    code_of = {name: i + RESERVED for i, name in enumerate(encoding.vocabulary)}
    code_of.update(dict.fromkeys(encoding.known_rare, RARE))
    codes = values.map(code_of).fillna(UNSEEN).to_numpy(np.int32)
    return np.where(values.isna().to_numpy(), np.int32(MISSING), codes)


def _side_by_side(features: Sequence[npt.NDArray[Any]], rows: int, dtype: type[Any]) -> npt.NDArray[Any]:
    table = np.empty((rows, len(features)), dtype=dtype)
    for i, feature in enumerate(features):
        table[:, i] = feature
    return table
