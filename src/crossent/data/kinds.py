"""What each column holds: its kind, inferred from its values, and the conversion of its values to that kind."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossent.data.column import USED_KINDS, Column, Kind
from crossent.errors import DataError

# Texts that mean "no value" in a feature. In a target only an empty field does: a class may well be called "NA".
MISSING_TEXTS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "?")

# A column counts as numbers (or dates) when at most this share of its values is not; those are then read as missing.
UNREADABLE_SHARE = 0.05
# Below this many rows, values that are all different may be so by chance.
ENOUGH_ROWS = 50
# Distinct values that are looked at to tell dates.
SAMPLE = 1000
# More words than this in the middle value, and a column is text rather than names.
NAME_WORDS = 5
# More characters than this in the middle value, and a column holds neither numbers nor dates.
LONGEST_DATE = 60

# Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese.
_UNSPACED = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)

_TRUE_TEXTS = frozenset({"true", "yes", "t", "y"})
_FALSE_TEXTS = frozenset({"false", "no", "f", "n"})


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
            "; ".join(f"{column.name!r} is {column.kind} ({column.note})" for column in columns)
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
        near = difflib.get_close_matches(missing[0], list(frame.columns), n=1)
        raise DataError(
            "New rows need the columns that the model was trained on.",
            f"Missing: {', '.join(map(repr, missing))}.",
            f"Is {near[0]!r} meant to be {missing[0]!r}? Rename it." if near else "Add them; empty values are allowed.",
        )
    converted = {
        column.name: _convert(frame[column.name], column.kind, day_first=column.day_first)[0] for column in used
    }
    return pd.DataFrame(converted, index=frame.index)


def _check_overrides(frame: pd.DataFrame, overrides: Mapping[str, Kind]) -> None:
    for name, kind in overrides.items():
        if name not in frame.columns:
            near = difflib.get_close_matches(name, list(frame.columns), n=1) or list(frame.columns)[:1]
            raise DataError(
                "A kind is given to a column of the table.",
                f"There is no column {name!r}.",
                f"Did you mean {near[0]!r}?",
            )
        if kind not in get_args(Kind):
            raise DataError(
                "A kind is one of " + ", ".join(get_args(Kind)) + ".", f"{name!r} got {kind!r}.", "Choose one."
            )


def understand_column(values: "pd.Series[Any]", override: Kind | None) -> "tuple[pd.Series[Any], Column]":
    """Infer the kind of one column, or take the one that is given, and convert it where it is of use."""
    declared = isinstance(values.dtype, pd.CategoricalDtype)
    values = _plain(values)
    present = values.dropna()
    distinct = present.drop_duplicates()
    if override:
        kind, note = override, "as told"
    else:
        kind, note = _infer_kind(present, distinct)
        # The frame says that these are categories, even where they look like numbers.
        kind = "category" if declared and kind != "constant" else kind
    converted = values
    day_first = kind == "date" and _reads_day_first(distinct)
    if kind in USED_KINDS:
        converted, unreadable = _convert(values, kind, day_first=day_first)
        note = "; ".join(part for part in (note, unreadable) if part)
    examples = tuple(f"{value:g}" if isinstance(value, float) else str(value)[:24] for value in distinct.head(3))
    column = Column(str(values.name), kind, len(values) - len(present), len(distinct), examples, note, day_first)
    return converted, column


def _plain(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Bring texts that mean "missing" to missing, and mixed Python objects to text."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if pd.api.types.is_complex_dtype(values.dtype):
        raise DataError("Values must be real.", f"Complex data not supported: column {values.name!r}.", "Split them.")
    if values.dtype == object:
        nested = next((value for value in values if isinstance(value, list | dict | set | tuple | np.ndarray)), None)
        if nested is not None:
            raise DataError(
                "A cell holds one value.",
                f"Column {values.name!r} holds a {type(nested).__name__}: {str(nested)[:40]}.",
                "Spread it over columns of its own, or drop it.",
            )
        values = values.infer_objects()
    types = pd.api.types
    if types.is_numeric_dtype(values) or types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
        return values
    texts = _to_texts(values).str.strip()
    return texts.mask(texts.isin(MISSING_TEXTS))


def _to_texts(values: "pd.Series[Any]") -> "pd.Series[str]":
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype("str")
    return values.astype(object).map(str, na_action="ignore").astype("str")


def _infer_kind(present: "pd.Series[Any]", distinct: "pd.Series[Any]") -> tuple[Kind, str]:
    if not len(distinct):
        return "constant", "every value is missing"
    if len(distinct) == 1:
        return "constant", "every value is the same"
    if pd.api.types.is_bool_dtype(present.dtype):
        return "boolean", ""
    if pd.api.types.is_numeric_dtype(present.dtype) or pd.api.types.is_timedelta64_dtype(present.dtype):
        return _number_or_identifier(present.to_numpy(), len(distinct))
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        return "date", ""
    return _infer_kind_of_texts(present, distinct)


def _infer_kind_of_texts(present: "pd.Series[Any]", distinct: "pd.Series[Any]") -> tuple[Kind, str]:
    sample = distinct.head(SAMPLE)
    # No number or date is so long; to look for one in all of a library would take its time.
    if sample.str.len().median() > LONGEST_DATE:
        return _infer_kind_of_words(present, distinct, sample, 0.0)
    if set(distinct.str.lower()) <= _TRUE_TEXTS | _FALSE_TEXTS:
        return "boolean", ""
    numbers = _to_numbers(present)
    readable = 1 - np.isnan(numbers).mean()
    if readable >= 1 - UNREADABLE_SHARE:
        return _number_or_identifier(numbers[~np.isnan(numbers)], len(distinct))
    if _to_dates(sample, day_first=_reads_day_first(sample)).notna().mean() >= 1 - UNREADABLE_SHARE:
        return "date", ""
    return _infer_kind_of_words(present, distinct, sample, readable)


def _infer_kind_of_words(
    present: "pd.Series[Any]", distinct: "pd.Series[Any]", sample: "pd.Series[Any]", readable: float
) -> tuple[Kind, str]:
    if _count_words(sample).median() > NAME_WORDS:
        return "text", ""
    if len(present) >= ENOUGH_ROWS and len(distinct) > 0.95 * len(present):
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


def _reads_day_first(distinct: "pd.Series[Any]") -> bool:
    """Tell 03/04 as the third of April by the other values; where all fit both ways, dots mean day first."""
    if not isinstance(distinct.dtype, pd.StringDtype):
        return False
    sample = distinct.head(SAMPLE)
    month_first, day_first = (int(_to_dates(sample, day_first=way).notna().sum()) for way in (False, True))
    if month_first == day_first:
        return bool(sample.str.match(r"\d{1,2}\.").any())
    return day_first > month_first


def _convert(values: "pd.Series[Any]", kind: Kind, *, day_first: bool) -> "tuple[pd.Series[Any], str]":
    """Convert raw values to a kind in use, and say what could not be read."""
    values = _plain(values)
    if kind == "number":
        numbers = pd.Series(_to_numbers(values), index=values.index, name=values.name)
        _check_finite(numbers)
        return numbers, _check_unreadable(values, numbers, "numbers")
    if kind == "date":
        dates = _to_dates(values, day_first=day_first)
        return dates, _check_unreadable(values, dates, "dates")
    if kind == "text":
        _check_text(values)
    texts = _to_texts(values)
    if kind == "boolean":
        lowered = texts.str.lower()
        numbers = pd.Series(_to_numbers(values), index=values.index)
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
            f"Column {numbers.name!r} holds {len(infinite)} infinity value(s), the first in row {infinite[0] + 1}.",
            "Leave such a value empty (missing is allowed), or replace it.",
        )


def _check_text(values: "pd.Series[Any]") -> None:
    present = values.dropna()
    # One row may well read "42".
    numbers = len(present) > 1 and not np.isnan(_to_numbers(present)).any()
    if len(present) and (numbers or not isinstance(present.dtype, pd.StringDtype)):
        raise DataError(
            f"Column {values.name!r} must hold text.",
            f"Its {len(present):,} values are {'numbers' if numbers else present.dtype}: {present.iloc[0]!r}, …",
            "Give the column of text under this name, or train with it as another kind (--kind.NAME=number).",
        )


def _check_unreadable(values: "pd.Series[Any]", converted: "pd.Series[Any]", what: str) -> str:
    unreadable = (values.notna() & converted.isna()).to_numpy()
    count, first = int(unreadable.sum()), int(unreadable.argmax())
    if not count:
        return ""
    met = f"{values.iloc[first]!r} in row {first + 1}"
    if count > UNREADABLE_SHARE * values.notna().sum():
        raise DataError(
            f"Column {values.name!r} must hold {what}.",
            f"{count} of {len(values)} values are not, the first {met}.",
            "Mend or empty them, or train with this column as another kind (--kind.NAME=category).",
        )
    return f"{count} values are not {what}, the first {met}; read as missing"


def _to_numbers(values: "pd.Series[Any]") -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return float64 values, NaN where a value is missing or no number."""
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return np.asarray(values.dt.total_seconds(), dtype=np.float64)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    if isinstance(values.dtype, pd.StringDtype):
        try:
            return np.asarray(pc.cast(pa.array(values), pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            pass
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)


def _to_dates(values: "pd.Series[Any]", *, day_first: bool) -> "pd.Series[Any]":
    """Return moments without a time zone, NaT where a value is missing or no date."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return pd.Series(pd.NaT, index=values.index, name=values.name, dtype="datetime64[us]")
    dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    if dates.isna().sum() > values.isna().sum():
        # Not the international form: let pandas find one form that fits the whole column.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            dates = pd.to_datetime(values, errors="coerce", utc=True, dayfirst=day_first)
    return dates.dt.tz_localize(None)
