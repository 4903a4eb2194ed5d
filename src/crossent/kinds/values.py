"""Values of a column as plain texts and numbers, whatever type holds them; used by kinds and labels."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossent.errors import DataError
from crossent.names import shortened

_STR = pd.StringDtype("pyarrow", na_value=np.nan)
_MIDNIGHT = " 00:00:00"


def texts_of(values: "pd.Series[Any]") -> "pd.Series[str]":
    """Return the values of a plain column as texts, as a file would hold them; missing values stay missing.

    Raises
    ------
    DataError
        If a value cannot be written as text: bytes that are not UTF-8, a whole number with thousands of digits.
    """
    if isinstance(values.dtype, pd.StringDtype):
        return values if values.dtype == _STR else values.astype(_STR)
    try:
        texts = values.astype(object).map(_text, na_action="ignore").astype("str")
    except ValueError as error:
        raise not_writable(values.name, error) from error
    # The form that files have; it does not matter whether other rows have a time of day.
    return texts.str.removesuffix(_MIDNIGHT) if is_moment(values) else texts


def arrow_of(texts: "pd.Series[str]") -> pa.LargeStringArray:
    """Return texts as an array of Arrow, whose functions take a tenth of the time of pandas in short columns."""
    array = pa.array(texts.array, pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def series_of_texts(texts: pa.LargeStringArray, name: Any, index: pd.Index | None = None) -> "pd.Series[str]":
    """Return an array of texts as a series."""
    # The stubs of pandas lack this method, which converts an array of Arrow without reading each text.
    array = _STR.__from_arrow__(texts)  # type: ignore[attr-defined]
    return pd.Series(array, index=index, name=name, copy=False)


def is_moment(values: "pd.Series[Any]") -> bool:
    """Say whether a column holds dates of pandas."""
    return bool(pd.api.types.is_datetime64_any_dtype(values.dtype))


def is_duration(values: "pd.Series[Any]") -> bool:
    """Say whether a column holds durations of pandas."""
    return bool(pd.api.types.is_timedelta64_dtype(values.dtype))


def to_numbers(values: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    """Return float64 values, durations in seconds, NaN where a value is missing or not a number."""
    if is_duration(values):
        return np.asarray(values.dt.total_seconds(), dtype=np.float64)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    if isinstance(values.dtype, pd.StringDtype):
        return numbers_of(arrow_of(values))
    return np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)


def numbers_of(texts: pa.LargeStringArray) -> npt.NDArray[np.float64]:
    """Return float64 values of texts, NaN where a text is missing or not a number."""
    try:
        return np.asarray(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return np.asarray(pd.to_numeric(series_of_texts(texts, None), errors="coerce"), dtype=np.float64)


def not_writable(name: Any, error: Exception) -> DataError:
    """Return the error for a column with a value that cannot be written as text."""
    return DataError(
        "A value can be written as text.",
        f"Column {shortened(name)} holds a value that cannot ({str(error)[:200]}).",
        "Drop the column, or write it as text in UTF-8.",
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)
