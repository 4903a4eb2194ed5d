"""Parquet and Feather files to tables, a batch of rows at a time, so that a limit holds while they are read."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet

from crossent.data.arrow import check_type, native_buffer
from crossent.data.ipc_sizes import unpacked_bytes
from crossent.data.limits import SMALL_BYTES, Limit, check_column_count, limit_of
from crossent.errors import CrossentError, DataError

PARQUET = {".parquet", ".pq"}
FEATHER = {".feather", ".arrow"}

_BATCH_ROWS = 65_536
_DICTIONARIES = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}
_types = pa.types
# The exceptions that readers raise for damaged files.
_DAMAGE = (
    pa.ArrowException,
    ArithmeticError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def read_columnar(path: Path, suffix: str, data: bytes) -> pa.Table:
    """Read the content of a Parquet or Feather file.

    Parameters
    ----------
    path
        The file that it comes from, for messages.
    suffix
        What it is.
    data
        The content.

    Raises
    ------
    DataError
        If it is damaged, not what its ending says, larger than it may be, or of a type that no cell may have.
    """
    with damage_as_data_error(path, suffix):
        reader = _read_parquet if suffix in PARQUET else _read_feather
        return reader(path, data, limit_of(path))


@contextlib.contextmanager
def damage_as_data_error(path: Path, suffix: str) -> Iterator[None]:
    """Turn every exception that a reader of Arrow raises for a damaged file into one error that names the file."""
    try:
        yield
    except CrossentError:
        raise
    except MemoryError as error:
        raise DataError(
            "A file must fit into memory.", f"{path} does not fit ({str(error)[:200]}).", "Check it, or split it."
        ) from error
    except _DAMAGE as error:
        raise DataError(
            "The content must match the file's ending, whole and undamaged.",
            f"{path} cannot be read as {suffix} ({str(error)[:200]}).",
            "Give the file the ending of its format, or write it again.",
        ) from error


def check_schema(path: Path, schema: pa.Schema) -> None:
    """Check that there are not too many columns, and that each holds one value in a cell.

    Raises
    ------
    DataError
        If there are too many, or a column does not.
    """
    check_column_count(str(path), len(schema))
    for field in schema:
        check_type(field.name, field.type, str(path))


def dictionary_columns(schema: pa.Schema, metadata: Any) -> tuple[list[str], int]:
    """Return the columns of texts of a Parquet file to read as dictionaries, and how many rows to read at a time.

    A dictionary holds each text once, however many rows have it, so its true size is known before it is unpacked. In
    other columns, a short piece of the file may stand for many long texts, so few rows of them are read at a time.

    Parameters
    ----------
    schema
        Of the file; no column of it is nested.
    metadata
        Of the file.
    """
    names, longest = [], 1
    for field, chunks in zip(schema, _chunks(metadata), strict=True):
        encodings = {encoding for chunk in chunks for encoding in chunk.encodings}
        repeating = bool(encodings & _DICTIONARIES)
        # Arrow does not read these as dictionaries.
        delta = any(encoding.startswith("DELTA") for encoding in encodings)
        if _is_text(field.type) and repeating and not delta:
            names.append(field.name)
        elif _is_text(field.type) and (repeating or delta):
            longest = max(longest, *(chunk.total_uncompressed_size for chunk in chunks))
    return names, max(SMALL_BYTES // longest, 1)


def expanded_bytes(batch: pa.RecordBatch) -> int:
    """Return how many bytes the values of a batch take if each row stores its own value."""
    return sum(_expanded(column) for column in batch.columns)


def least_bytes(schema: pa.Schema, rows: int) -> int:
    """Return how many bytes a table of these columns takes at least."""
    return rows * sum(_width(field.type) for field in schema)


def _read_parquet(path: Path, data: bytes, limit: Limit) -> pa.Table:
    source = native_buffer(data)
    with pyarrow.parquet.ParquetFile(pa.BufferReader(source), pre_buffer=False) as file:
        schema, metadata = file.schema_arrow, file.metadata
        check_schema(path, schema)
        limit.check(least_bytes(schema, metadata.num_rows))
    limit.check(sum(chunk.total_uncompressed_size for chunks in _chunks(metadata) for chunk in chunks))
    texts, rows = dictionary_columns(schema, metadata)
    with pyarrow.parquet.ParquetFile(pa.BufferReader(source), pre_buffer=False, read_dictionary=texts) as file:
        batches = list(_checked(file.iter_batches(min(rows, _BATCH_ROWS)), limit))
    table = pa.Table.from_batches(batches, batches[0].schema if batches else schema)
    # A column that was text in the file becomes text again, not a category.
    for i, name in enumerate(table.column_names):
        if _types.is_dictionary(table.column(i).type) and name in texts:
            table = table.set_column(i, name, _unpacked(table.column(i)))
    return table.replace_schema_metadata(schema.metadata)


def _chunks(metadata: Any) -> list[list[Any]]:
    """Return the parts of each column of a Parquet file."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return [[group.column(j) for group in groups] for j in range(metadata.num_columns)]


def _read_feather(path: Path, data: bytes, limit: Limit) -> pa.Table:
    if data.startswith(b"FEA1"):
        raise DataError(
            "A Feather file is of version 2.",
            f"{path} is of version 1, whose reader does not check what it reads.",
            "Read it with the program that wrote it, and write it as Parquet.",
        )
    with pa.ipc.open_file(native_buffer(data)) as file:
        check_schema(path, file.schema)
        limit.check(unpacked_bytes(data))
        batches = (file.get_batch(i) for i in range(file.num_record_batches))
        return pa.Table.from_batches(list(_checked(batches, limit)), file.schema)


def _checked(batches: Iterator[pa.RecordBatch], limit: Limit) -> Iterator[pa.RecordBatch]:
    """Yield checked batches, as long as they are within the limit of the file."""
    total = 0
    for batch in batches:
        # Conversion trusts offsets and indices; damaged ones would make it read beyond its memory.
        batch.validate(full=True)
        total += expanded_bytes(batch)
        limit.check(total)
        yield batch


def _unpacked(values: pa.ChunkedArray) -> pa.ChunkedArray:
    # Offsets of 64 bits: a batch may hold more than 2 GB of text.
    wide = pa.large_binary() if _types.is_binary(values.type.value_type) else pa.large_string()
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(wide)).dictionary_decode()
        for chunk in values.chunks
    ]
    return pa.chunked_array(chunks, wide)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        _types.is_string(kind) or _types.is_large_string(kind) or _types.is_binary(kind) or _types.is_large_binary(kind)
    )


def _width(kind: pa.DataType) -> int:
    """Return the bytes of a value in a frame; for a text, only those of its offset."""
    return max(int(kind.bit_width) // 8, 1) if _types.is_primitive(kind) else 8


def _expanded(values: pa.Array) -> int:
    lengths = _lengths(values)
    if lengths is None:
        return len(values) * _width(values.type)
    return len(values) * _width(values.type) + int(pc.sum(lengths).as_py() or 0)


def _lengths(values: pa.Array) -> Any:
    """Return the bytes of each row's text, or None where a column holds none."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return _lengths(values.storage)
    if _types.is_dictionary(kind):
        lengths = _lengths(values.dictionary)
        return None if lengths is None else pc.take(lengths, values.indices)
    if _types.is_run_end_encoded(kind):
        lengths = _lengths(values.values)
        return None if lengths is None else pc.multiply(lengths, np.diff(values.run_ends.to_numpy(), prepend=0))
    if _types.is_string_view(kind) or _types.is_binary_view(kind):
        return pc.binary_length(values.cast(pa.large_binary()))
    return pc.cast(pc.binary_length(values), pa.int64()) if _is_text(kind) else None
