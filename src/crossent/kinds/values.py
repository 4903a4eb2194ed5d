"""Values of a column as plain texts and numbers, whatever type holds them: what kinds and labels share."""

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
        raise not_writable(values.name, error) from error
    # As files have it; whether the other rows have a time of day does not matter.
    return texts.str.removesuffix(_MIDNIGHT) if is_moment(values) else texts


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


def not_writable(name: Any, error: Exception) -> DataError:
    """Return the error of a column with a value that has no text."""
    return DataError(
        "A value can be written as text.",
        f"Column {shortened(name)} holds one that cannot ({str(error)[:200]}).",
        "Drop the column, or write it as text in UTF-8.",
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)
