"""Values of a column as plain texts, numbers and dates, whatever type holds them: what features and labels share."""

import functools
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossent.data.arrow import series_of
from crossent.data.names import shortened
from crossent.errors import DataError

# Texts that mean "no value" in a feature. In a target only an empty field does: a class may well be called "NA".
MISSING_TEXTS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "?")

# No date has more characters: to look for one in a whole book would take its time.
LONGEST_DATE = 60
# Distinct values that are looked at to tell dates.
SAMPLE = 1000

_STR = pd.StringDtype("pyarrow", na_value=np.nan)
_NESTED = (list, dict, set, frozenset, tuple, np.ndarray, pd.Series, pd.DataFrame)
_MIDNIGHT = " 00:00:00"
# A time of day without a date, which pandas would put on the day of today.
_TIME_OF_DAY = r"(?i)\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[ap]m)?"


def plain_series(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column without the types of pandas and Arrow that only wrap others.

    Raises
    ------
    DataError
        If a cell holds a list, a structure or a complex number.
    """
    if isinstance(values.dtype, pd.ArrowDtype):
        values = series_of(pa.chunked_array([pa.array(values)]), str(values.name), "The table").set_axis(values.index)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if values.dtype == object:
        nested = next((value for value in values if isinstance(value, _NESTED)), None)
        if nested is not None:
            raise DataError(
                "A cell holds one value.",
                f"Column {shortened(values.name)} holds a {type(nested).__name__}: {str(nested)[:40]}.",
                "Spread it over columns of its own, or drop it.",
            )
        try:
            values = values.infer_objects()
        except ValueError as error:
            raise _no_text(values.name, error) from error
    if pd.api.types.is_complex_dtype(values.dtype):
        met = f"Complex data not supported: column {shortened(values.name)}."
        raise DataError("Values must be real.", met, "Split them.")
    return values


def texts_of(values: "pd.Series[Any]") -> "pd.Series[str]":
    """Return the values of a plain column as texts, each as it would stand in a file; missing ones stay missing.

    Raises
    ------
    DataError
        If one cannot be: bytes that are no UTF-8, a whole number of thousands of digits.
    """
    if isinstance(values.dtype, pd.StringDtype):
        return values if values.dtype == _STR else values.astype(_STR)
    try:
        texts = values.astype(object).map(_text, na_action="ignore").astype("str")
    except ValueError as error:
        raise _no_text(values.name, error) from error
    # As files have it; whether the other rows have a time of day does not matter.
    return texts.str.removesuffix(_MIDNIGHT) if is_moment(values) else texts


def features_of(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column of a frame as numbers, moments, durations, or texts whose words for "missing" are missing.

    Raises
    ------
    DataError
        If a cell holds more than one value, or none that can be written as text.
    """
    values = plain_series(values)
    if pd.api.types.is_numeric_dtype(values) or is_moment(values) or is_duration(values):
        return values
    texts = pc.utf8_trim_whitespace(arrow_of(texts_of(values)))
    missing = pc.is_in(texts, value_set=_missing_texts())
    return series_of_texts(pc.if_else(missing, pa.scalar(None, texts.type), texts), values.name, values.index)


def arrow_of(texts: "pd.Series[str]") -> pa.LargeStringArray:
    """Return texts as one array of Arrow's, whose functions cost a tenth of those of pandas in short columns."""
    array = pa.array(texts.array, pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def series_of_texts(texts: pa.LargeStringArray, name: Any, index: pd.Index | None = None) -> "pd.Series[str]":
    """Return an array of texts as a series."""
    # The stubs of pandas lack this method, which converts an array of Arrow without a look at each text.
    array = _STR.__from_arrow__(texts)  # type: ignore[attr-defined]
    return pd.Series(array, index=index, name=name, copy=False)


def is_moment(values: "pd.Series[Any]") -> bool:
    """Say whether a column is of pandas' dates."""
    return bool(pd.api.types.is_datetime64_any_dtype(values.dtype))


def is_duration(values: "pd.Series[Any]") -> bool:
    """Say whether a column is of pandas' durations."""
    return bool(pd.api.types.is_timedelta64_dtype(values.dtype))


def to_numbers(values: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    """Return float64 values, durations in seconds, NaN where a value is missing or no number."""
    if is_duration(values):
        return np.asarray(values.dt.total_seconds(), dtype=np.float64)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    if isinstance(values.dtype, pd.StringDtype):
        return numbers_of(arrow_of(values))
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)


def numbers_of(texts: pa.LargeStringArray) -> npt.NDArray[np.float64]:
    """Return float64 values of texts, NaN where one is missing or no number."""
    try:
        return np.asarray(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return np.asarray(pd.to_numeric(series_of_texts(texts, None), errors="coerce"), dtype=np.float64)


def to_dates(values: "pd.Series[Any]", *, day_first: bool) -> "pd.Series[Any]":
    """Return moments without a time zone, NaT where a value is missing or no date.

    Raises
    ------
    DataError
        If a moment is farther away than microseconds in 64 bits reach, 290,000 years.
    """
    if is_moment(values):
        return _moments(values)
    if pd.api.types.is_numeric_dtype(values.dtype) or is_duration(values):
        return pd.Series(pd.NaT, index=values.index, name=values.name, dtype="datetime64[us]")
    values = values.where(values.str.len() <= LONGEST_DATE)
    times = values.str.fullmatch(_TIME_OF_DAY).fillna(False).astype(bool)
    if times.any():
        # Each has a form of its own: 9:30, 09:30:00, 9:30 pm.
        moments = pd.to_datetime("1970-01-01 " + values.where(times), errors="coerce", utc=True, format="mixed")
        moments = moments.dt.tz_localize(None)
        return moments if times.all() else to_dates(values.mask(times), day_first=day_first).fillna(moments)
    dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    unread = values[dates.isna() & _has_parts_of_date(values)]
    if len(unread):
        dates = dates.fillna(_other_dates(unread, day_first=day_first).reindex(values.index))
    return dates.dt.tz_localize(None)


def _has_parts_of_date(texts: "pd.Series[Any]") -> "pd.Series[bool]":
    """Say which texts have a day, a month and a year, or a month and a year of four digits.

    Without this a number with a decimal comma would be a day of the first year of our era.
    """
    parts = texts.str.count(r"\d+|[^\W\d_]+") >= 3
    numbers = texts.str.contains(r"\d,\d") & ~texts.str.contains(r"[^\W\d_]")
    month = texts.str.fullmatch(r"\s*([^\W\d_]{3,}\W+|\d{1,2}[/.-])\d{4}\s*")
    return ((parts & ~numbers) | month).fillna(False).astype(bool)


def _other_dates(texts: "pd.Series[Any]", *, day_first: bool) -> "pd.Series[Any]":
    """Return what texts that are not in the international form mean, each read by itself.

    Pandas would read all of them in the form of the first: what a row means would depend on the rows beside it.
    """
    places, distinct_texts = pd.factorize(texts)
    distinct = pd.Series(distinct_texts, dtype=texts.dtype)
    dates = pd.Series(pd.NaT, index=distinct.index, dtype="datetime64[us, UTC]")
    for form in _forms(day_first=day_first):
        unread = distinct[dates.isna()]
        if not len(unread):
            break
        dates = dates.fillna(pd.to_datetime(unread, errors="coerce", utc=True, format=form).reindex(distinct.index))
    unread = distinct[dates.isna()]
    if len(unread):
        # Any other form that dateutil knows, a hundred times as slow.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            others = pd.to_datetime(unread, errors="coerce", utc=True, format="mixed", dayfirst=day_first)
        # dateutil takes 25/04 for the 25th of April even where months come first.
        first = pd.to_numeric(unread.str.extract(r"^\s*(\d{1,2})[\W_]+\d{1,2}[\W_]+\d", expand=False))
        turned = first.notna() & (first != (others.dt.day if day_first else others.dt.month))
        dates = dates.fillna(others.mask(turned).reindex(distinct.index))
    return pd.Series(dates.array.take(places), index=texts.index)


def _forms(*, day_first: bool) -> list[str]:
    """Return the common forms of dates, which are read quickly."""
    days = [f"%d{mark}%m{mark}%Y" if day_first else f"%m{mark}%d{mark}%Y" for mark in "/.-"]
    return [day + time for day in days for time in ("", " %H:%M", " %H:%M:%S")]


def reads_day_first(distinct: "pd.Series[Any]") -> bool:
    """Tell 03/04 as the third of April by the other values; where all fit both ways, dots mean day first."""
    if not isinstance(distinct.dtype, pd.StringDtype):
        return False
    sample = distinct.head(SAMPLE)
    month_first, day_first = (int(to_dates(sample, day_first=way).notna().sum()) for way in (False, True))
    if month_first == day_first:
        return bool(sample.str.match(r"\d{1,2}\.").any())
    return day_first > month_first


def _moments(values: "pd.Series[Any]") -> "pd.Series[Any]":
    dates: pd.Series[Any] = values if values.dt.tz is None else values.dt.tz_convert("UTC").dt.tz_localize(None)
    if dates.dt.unit in {"ns", "us"}:
        return dates
    try:
        dates = dates.dt.as_unit("us")
    except (ValueError, OverflowError) as error:
        raise DataError(
            "Dates lie between the years -290,000 and 290,000.",
            f"Column {shortened(values.name)} holds others ({str(error)[:200]}).",
            "Mend or empty them, or write them as numbers.",
        ) from error
    return dates


def _no_text(name: Any, error: Exception) -> DataError:
    return DataError(
        "A value can be written as text.",
        f"Column {shortened(name)} holds one that cannot ({str(error)[:200]}).",
        "Drop the column, or write it as text in UTF-8.",
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)


@functools.cache
def _missing_texts() -> pa.Array:
    return pa.array(MISSING_TEXTS, pa.large_string())
