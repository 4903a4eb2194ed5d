"""What each column holds: its kind, inferred from its values, and the conversion of its values to that kind."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossent.data.cells import (
    LONGEST_DATE,
    SAMPLE,
    arrow_of,
    features_of,
    is_moment,
    numbers_of,
    reads_day_first,
    series_of_texts,
    texts_of,
    to_dates,
    to_numbers,
)
from crossent.data.column import USED_KINDS, Column, Kind
from crossent.data.names import MOST_NAMES, listed, nearest, shortened
from crossent.errors import DataError

# A column counts as numbers (or dates) when at most this share of its values is not; those are then read as missing.
UNREADABLE_SHARE = 0.05
# Below this many rows, values that are all different may be so by chance.
ENOUGH_ROWS = 50
# More words than this in the middle value, and a column is text rather than names.
NAME_WORDS = 5
# Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese.
_UNSPACED = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)

_TRUE_TEXTS = frozenset({"true", "yes", "t", "y"})
_FALSE_TEXTS = frozenset({"false", "no", "f", "n"})
_MOST_TRUTHS = len(_TRUE_TEXTS | _FALSE_TEXTS) + 1


def understand(frame: pd.DataFrame, overrides: Mapping[str, Kind]) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """Infer the kind of every column and convert those in use.

    Parameters
    ----------
    frame
        Raw columns, as `read_table` gives them.
    overrides
        Kinds by column name that the user knows better.

    Returns
    -------
    frame
        The columns in use, converted: numbers to float64, dates to datetime64, categories and booleans to text.
    columns
        What was understood of every column.

    Raises
    ------
    DataError
        If an override names no column or no kind, if a number is infinite, or if no column can be used.
    """
    _check_overrides(frame, overrides)
    converted: dict[str, pd.Series[Any]] = {}
    columns = []
    for name in frame.columns:
        values, column = understand_column(frame[name], overrides.get(name))
        columns.append(column)
        if column.used:
            converted[name] = values
    if not converted:
        raise DataError(
            "A model needs at least one column that says something.",
            "; ".join(f"{shortened(column.name)} is {column.kind} ({column.note})" for column in columns[:MOST_NAMES])
            or "There is no column.",
            "Add a column, or say what one of them is: --kind.NAME=category, kinds={'NAME': 'category'}.",
        )
    return pd.DataFrame(converted, index=frame.index), tuple(columns)


def conform(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Convert a raw frame to the columns that a model was trained on; columns that it does not know are ignored.

    Raises
    ------
    DataError
        If a column is missing, or holds something of another kind.
    """
    used = [column for column in columns if column.used]
    missing = [column.name for column in used if column.name not in frame.columns]
    if missing:
        near = nearest(missing[0], frame.columns)
        raise DataError(
            "New rows need the columns that the model was trained on.",
            f"Missing: {listed(missing)}.",
            f"Is {near!r} meant to be {missing[0]!r}? Rename it." if near else "Add them; empty values are allowed.",
        )
    converted = {
        column.name: _convert(features_of(frame[column.name]), column.kind, day_first=column.day_first)[0]
        for column in used
    }
    return pd.DataFrame(converted, index=frame.index)


def _check_overrides(frame: pd.DataFrame, overrides: Mapping[str, Kind]) -> None:
    for name, kind in overrides.items():
        if name not in frame.columns:
            raise DataError(
                "A kind is given to a column of the table.",
                f"There is no column {shortened(name)}.",
                f"Did you mean {nearest(name, frame.columns) or frame.columns[0]!r}?",
            )
        if kind not in get_args(Kind):
            raise DataError(
                "A kind is one of " + ", ".join(get_args(Kind)) + ".", f"{name!r} got {kind!r}.", "Choose one."
            )


def understand_column(values: "pd.Series[Any]", override: Kind | None) -> "tuple[pd.Series[Any], Column]":
    """Infer the kind of one column, or take the one that is given, and convert it where it is of use."""
    declared = isinstance(values.dtype, pd.CategoricalDtype)
    values = features_of(values)
    texts = isinstance(values.dtype, pd.StringDtype)
    # An array of Arrow's of texts, a series of others.
    present: Any = arrow_of(values).drop_null() if texts else values.dropna()
    distinct: Any = present.unique() if texts else present.drop_duplicates()
    first = distinct.slice(0, 3).to_pylist() if texts else distinct.head(3).tolist()
    if override:
        kind, note = override, "as told"
    else:
        kind, note = _infer_kind_of_texts(present, distinct) if texts else _infer_kind(present, len(distinct))
        # The frame says that these are categories, even where they look like numbers.
        kind = "category" if declared and kind != "constant" else kind
    converted = values
    day_first = kind == "date" and texts and reads_day_first(series_of_texts(distinct, values.name))
    if kind in USED_KINDS:
        converted, unreadable = _convert(values, kind, day_first=day_first)
        note = "; ".join(part for part in (note, unreadable) if part)
    examples = tuple(f"{value:g}" if isinstance(value, float) else str(value)[:24] for value in first)
    column = Column(str(values.name), kind, len(values) - len(present), len(distinct), examples, note, day_first)
    return converted, column


def _infer_kind(present: "pd.Series[Any]", distinct: int) -> tuple[Kind, str]:
    if distinct < 2:
        return _constant(distinct)
    if pd.api.types.is_bool_dtype(present.dtype):
        return "boolean", ""
    if is_moment(present):
        return "date", ""
    return _number_or_identifier(present.to_numpy(), distinct)


def _constant(distinct: int) -> tuple[Kind, str]:
    return "constant", "every value is the same" if distinct else "every value is missing"


def _infer_kind_of_texts(present: pa.LargeStringArray, distinct: pa.LargeStringArray) -> tuple[Kind, str]:
    if len(distinct) < 2:
        return _constant(len(distinct))
    sample = distinct.slice(0, SAMPLE)
    # No number or date is so long; to look for one in all of a library would take its time.
    if np.median(pc.utf8_length(sample).to_numpy()) > LONGEST_DATE:
        return _infer_kind_of_words(len(present), len(distinct), series_of_texts(sample, None), 0.0)
    if set(pc.utf8_lower(distinct).unique().slice(0, _MOST_TRUTHS).to_pylist()) <= _TRUE_TEXTS | _FALSE_TEXTS:
        return "boolean", ""
    numbers = numbers_of(present)
    readable = 1 - np.isnan(numbers).mean()
    if readable >= 1 - UNREADABLE_SHARE:
        return _number_or_identifier(numbers[~np.isnan(numbers)], len(distinct))
    texts = series_of_texts(sample, None)
    if to_dates(texts, day_first=reads_day_first(texts)).notna().mean() >= 1 - UNREADABLE_SHARE:
        return "date", ""
    return _infer_kind_of_words(len(present), len(distinct), texts, readable)


def _infer_kind_of_words(present: int, distinct: int, sample: "pd.Series[Any]", readable: float) -> tuple[Kind, str]:
    if _count_words(sample).median() > NAME_WORDS:
        return "text", ""
    if present >= ENOUGH_ROWS and distinct > 0.95 * present:
        return "identifier", "nearly every row has a value of its own"
    mixed = f"{readable:.0%} of its values are numbers; all are read as names" if readable > 0 else ""
    return "category", mixed


def _count_words(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Count words, two characters for one in scripts that put no space between them."""
    return texts.str.count(r"\S+") + texts.str.count(_UNSPACED) / 2


def _number_or_identifier(numbers: np.ndarray[Any, Any], distinct: int) -> tuple[Kind, str]:
    n = len(numbers)
    if n < ENOUGH_ROWS or distinct < n:
        return "number", ""
    # Row numbers: whole, all different, with no gap.
    if numbers.dtype.kind in "iuf" and numbers.max() - numbers.min() == n - 1 and (numbers % 1 == 0).all():
        return "identifier", "counts the rows"
    return "number", ""


def _convert(values: "pd.Series[Any]", kind: Kind, *, day_first: bool) -> "tuple[pd.Series[Any], str]":
    """Convert the values of `features_of` to a kind in use, and say what could not be read."""
    if kind == "number":
        numbers = pd.Series(to_numbers(values), index=values.index, name=values.name)
        _check_finite(numbers)
        return numbers, _check_unreadable(values, np.isnan(numbers.to_numpy()), "numbers")
    if kind == "date":
        dates = to_dates(values, day_first=day_first)
        return dates, _check_unreadable(values, dates.isna().to_numpy(), "dates")
    if kind == "text":
        _check_text(values)
    texts = texts_of(values)
    if kind == "boolean":
        lowered = texts.str.lower()
        numbers = pd.Series(to_numbers(values), index=values.index)
        texts = lowered.mask(lowered.isin(_TRUE_TEXTS) | (numbers == 1), "true")
        texts = texts.mask(lowered.isin(_FALSE_TEXTS) | (numbers == 0), "false")
    elif pd.api.types.is_float_dtype(values.dtype):
        # An integer column with a gap arrives as floats; 3 and 3.0 are one category.
        texts = texts.str.removesuffix(".0")
    return texts, ""


def _check_finite(numbers: "pd.Series[Any]") -> None:
    infinite = np.flatnonzero(np.isinf(numbers.to_numpy()))
    if len(infinite):
        raise DataError(
            "Numbers must be finite.",
            f"Column {shortened(numbers.name)} holds {len(infinite)} infinity value(s), "
            f"the first in row {infinite[0] + 1}.",
            "Leave such a value empty (missing is allowed), or replace it.",
        )


def _check_text(values: "pd.Series[Any]") -> None:
    present = values.dropna()
    # One row may well read "42".
    numbers = len(present) > 1 and not np.isnan(to_numbers(present)).any()
    if len(present) and (numbers or not isinstance(present.dtype, pd.StringDtype)):
        raise DataError(
            f"Column {shortened(values.name)} must hold text.",
            f"Its {len(present):,} values are {'numbers' if numbers else present.dtype}: "
            f"{shortened(present.iloc[0])}, …",
            "Give the column of text under this name, or train with it as another kind (--kind.NAME=number).",
        )


def _check_unreadable(values: "pd.Series[Any]", missing: npt.NDArray[np.bool_], what: str) -> str:
    if not missing.any():
        return ""
    unreadable = values.notna().to_numpy() & missing
    count, first = int(unreadable.sum()), int(unreadable.argmax())
    if not count:
        return ""
    met = f"{shortened(values.iloc[first])} in row {first + 1}"
    if count > UNREADABLE_SHARE * values.notna().sum():
        raise DataError(
            f"Column {shortened(values.name)} must hold {what}.",
            f"{count} of {len(values)} values are not, the first {met}.",
            "Mend or empty them, or train with this column as another kind (--kind.NAME=category).",
        )
    return f"{count} values are not {what}, the first {met}; read as missing"
