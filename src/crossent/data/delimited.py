"""Reads CSV and other files of separated values as tables of texts."""

import csv
import io
import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from crossent.data.arrow import native_buffer
from crossent.data.columnar import damage_as_data_error
from crossent.data.limits import check_column_count
from crossent.data.utf8 import to_utf8
from crossent.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}

# Number of bytes of a text file that Arrow parses at a time, and the largest number that it can.
_BLOCK, _LARGEST_BLOCK = 1 << 20, (1 << 31) - 1


def read_delimited(path: Path, suffix: str, data: bytes, encoding: str, *, named: bool = True) -> pa.Table:
    """Read the content of a file of separated values; every column is text, an empty field is missing.

    Parameters
    ----------
    path, suffix
        Path and ending of the file, for messages and for the sign that separates its values.
    data, encoding
        The content of the file, and its encoding.
    named
        Whether the first line names the columns; otherwise it is a row like the others.

    Raises
    ------
    DataError
        If it is ragged, badly encoded or has too many columns.
    """
    text = to_utf8(path, data, encoding)
    header = text[: text.find(b"\n") if b"\n" in text else len(text)]
    # In many countries, spreadsheets write CSV files with semicolons, and many .txt files have commas.
    separator = max([SEPARATORS[suffix], ",", ";", "\t"], key=lambda mark: header.count(mark.encode()))
    check_column_count(str(path), header.count(separator.encode()) + 1)
    with damage_as_data_error(path, suffix):
        try:
            table = _parse(text, separator, named=named)
        except pa.ArrowInvalid as error:
            raise _ragged(path, text, separator, error) from error
        return table.rename_columns([name or f"unnamed_{i + 1}" for i, name in enumerate(table.column_names)])


def _parse(text: bytes, separator: str, *, named: bool) -> pa.Table:
    try:
        return _parse_blocks(text, separator, _BLOCK, named=named)
    except pa.ArrowInvalid:
        # A row must fit into one block, and a cell may hold a whole book.
        if len(text) <= _BLOCK:
            raise
        return _parse_blocks(text, separator, min(len(text), _LARGEST_BLOCK), named=named)


def _parse_blocks(text: bytes, separator: str, size: int, *, named: bool) -> pa.Table:
    read_options = pa.csv.ReadOptions(block_size=size, autogenerate_column_names=not named)
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    source = native_buffer(text)
    # Every column is read as text, because types guessed from the first block of a file may fail in a later one.
    names = pa.csv.open_csv(pa.BufferReader(source), read_options, parse_options=parse).schema.names
    convert = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in names}, null_values=[""], strings_can_be_null=True
    )
    return pa.csv.read_csv(pa.BufferReader(source), read_options, parse_options=parse, convert_options=convert)


def _ragged(path: Path, text: bytes, separator: str, error: Exception) -> DataError:
    # Arrow does not say on which line of the file it stopped.
    lines = csv.reader(io.TextIOWrapper(io.BytesIO(text), "utf-8", newline=""), delimiter=separator)
    try:
        width = len(next(lines))
        bad = ((lines.line_num, row) for row in lines if row and len(row) != width)
        line, row = next(bad, (0, []))
        others = sum(1 for _ in bad)
    except (csv.Error, StopIteration):
        line, row, others = 0, [], 0
    if not line:
        reason = str(error)[:200]
        return DataError(
            "The file must be a well-formed table.", f"{path}: {reason}.", "Correct it, or write it again."
        )
    more = f" (like {others:,} more lines)" if others else ""
    begin = separator.join(itertools.islice(row, 80))[:80]
    return DataError(
        f"Every line must have as many fields as the header: {width}.",
        f"{path}, line {line}, has {len(row)}{more}: {begin!r}.",
        "Correct that line: a field is missing, or a value with a separator needs quotes.",
    )
