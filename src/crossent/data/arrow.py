"""Arrow tables to frames: what each type of column becomes."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from crossent.data.limits import check_column_count
from crossent.errors import DataError
from crossent.names import check_distinct, shortened

_types = pa.types
# Types of pandas, and names, whose texts say best what they are.
_AS_TEXT = {"pandas.period", "pandas.interval", "arrow.uuid"}


def frame_of(table: pa.Table, source: str) -> pd.DataFrame:
    """Return a table as a frame of numbers, booleans, texts, categories, dates and durations.

    Moments lose their time zone and are in UTC. Times of day and decimals become texts; bytes are decoded as UTF-8.
    Columns that were the index of a frame, as pandas noted in the table, are left out.

    Raises
    ------
    DataError
        If two columns have the same name, or a column holds lists, structures, bytes that are not text, or dates that
        are too far away.
    """
    check_column_count(source, table.num_columns)
    names = [str(name) for name in table.column_names]
    check_distinct(names, source)
    left_out = _index_columns(table.schema.metadata or {})
    columns = {}
    for name, values in zip(names, table.columns, strict=True):
        if name not in left_out:
            check_type(name, values.type, source)
            columns[name] = series_of(values, name, source)
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def native_buffer(data: bytes) -> pa.Buffer:
    """Return a copy of bytes that belongs only to Arrow.

    Arrow's threads may release what they read a moment after the reader has returned. To release a Python object they
    must wait for the interpreter's lock, and a thread that waits for it while the interpreter ends aborts the whole
    process (SIGABRT, "terminate called without an active exception").

    Examples
    --------
    >>> native_buffer(b"a,b").to_pybytes()
    b'a,b'
    """
    buffer = pa.allocate_buffer(len(data))
    memoryview(buffer).cast("B")[:] = data
    return buffer


def check_type(name: str, kind: pa.DataType, source: str) -> None:
    """Check that a column of this type holds one value in each cell.

    Raises
    ------
    DataError
        If it holds lists, structures or the like.
    """
    inner = _inner(kind)
    if _types.is_nested(inner) or _types.is_interval(inner):
        raise DataError(
            "A cell holds one value.",
            f"{source}, column {shortened(name)}, is of type {shortened(str(kind))}.",
            "Spread it over several columns, or drop it.",
        )


def series_of(values: pa.ChunkedArray, name: str, source: str) -> "pd.Series[Any]":
    """Return a column as a series of a plain type.

    Raises
    ------
    DataError
        If its values cannot be converted: bytes that are not text, dates too far away, damaged data.
    """
    try:
        series = _convert(values)
    except (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
        raise DataError(
            "A column holds numbers, texts, dates or durations.",
            f"{source}, column {shortened(name)}, of type {shortened(str(values.type))}, cannot be read "
            f"({str(error)[:200]}).",
            "Drop it, or write it as numbers or as text.",
        ) from error
    return series.rename(name)


def _inner(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if kind.extension_name in _AS_TEXT else _inner(kind.storage_type)
    if _types.is_dictionary(kind) or _types.is_run_end_encoded(kind):
        return _inner(kind.value_type)
    return kind


def _convert(values: pa.ChunkedArray) -> "pd.Series[Any]":
    kind = values.type
    if _types.is_null(kind):
        return pd.Series([None] * len(values), dtype=object)
    if _types.is_dictionary(kind):
        plain = _convert(_by_chunk(values, lambda chunk: chunk.dictionary_decode(), kind.value_type))
        return plain.astype("category")
    if _types.is_run_end_encoded(kind):
        return _convert(_by_chunk(values, pc.run_end_decode, kind.value_type))
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name not in _AS_TEXT:
            return _convert(_by_chunk(values, lambda chunk: chunk.storage, kind.storage_type))
        return pd.Series(values.to_pandas().astype(object).map(str, na_action="ignore"), dtype="str")
    for to in _steps(kind):
        values = values.cast(to)
    series: pd.Series[Any] = values.to_pandas()
    return series


def _steps(kind: pa.DataType) -> tuple[pa.DataType, ...]:
    """Return the types that a column is cast to, one after the other, before pandas takes it."""
    if _types.is_date(kind) or _types.is_timestamp(kind):
        # Arrow keeps moments in UTC, whatever their time zone, which it may not know.
        return (pa.timestamp("us" if _types.is_date(kind) or kind.unit in {"s", "ms"} else kind.unit),)
    if _types.is_time(kind) or _types.is_decimal(kind) or _types.is_string_view(kind):
        return (pa.large_string(),)
    if _types.is_fixed_size_binary(kind):
        return pa.binary(), pa.large_string()
    if _types.is_binary(kind) or _types.is_large_binary(kind) or _types.is_binary_view(kind):
        return pa.large_binary(), pa.large_string()
    return ()


def _by_chunk(values: pa.ChunkedArray, change: Callable[[pa.Array], pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([change(chunk) for chunk in values.chunks], kind)


def _index_columns(metadata: dict[bytes, bytes]) -> set[str]:
    """Return the names of columns that were the index of the frame; none if what pandas noted is damaged."""
    try:
        columns = json.loads(metadata.get(b"pandas", b"{}"))["index_columns"]
        return {name for name in columns if isinstance(name, str)}
    except (ValueError, LookupError, TypeError, RecursionError):
        return set()
