"""Reading of files, frames and arrays."""

import csv
import difflib
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from crossent.data.column import Kind
from crossent.data.dataset import Dataset
from crossent.data.encoding import to_utf8
from crossent.data.folder import TEXT, read_folder
from crossent.data.kinds import understand, understand_column
from crossent.data.labels import encode_labels, labels_of, rare_class_notes
from crossent.errors import DataError

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
_BINARY = {".parquet", ".pq", ".feather", ".arrow"}
# Bytes of a text file that Arrow parses at a time, and the most that it can.
_BLOCK, _LARGEST_BLOCK = 1 << 20, (1 << 31) - 1
_KNOWN = "CSV (.csv), TSV (.tsv), Parquet (.parquet) or Feather (.feather), each also with .gz"


def read(
    source: Any,
    target: str,
    *,
    groups: str | None = None,
    time: str | None = None,
    kinds: Mapping[str, Kind] | None = None,
    encoding: str = "utf-8",
) -> Dataset:
    """Read rows with labels.

    Parameters
    ----------
    source
        A path (CSV, TSV, Parquet, Feather; also .gz; or a folder of texts, see `read_folder`), a pandas or polars
        frame, a 2-D NumPy array, whose columns are named ``column_0`` and on, or texts, as in `read_table`.
    target
        Name of the column that holds the label. Rows without a label are left out, and a note says so.
    groups
        Name of a column; rows that share its value are never split between training and evaluation.
    time
        Name of a column of dates or numbers; the latest rows are the ones held out.
    kinds
        Kinds of columns where the inferred ones are wrong.
    encoding
        Of text files.

    Raises
    ------
    DataError
        If the file cannot be read, the target is not there or has fewer than two classes, or no column can be used.

    Examples
    --------
    >>> from crossent.datasets import hpc_path
    >>> dataset = read(hpc_path(), target="class")
    >>> len(dataset), dataset.classes
    (4331, ('F', 'L', 'M', 'VF'))
    """
    frame = read_table(source, encoding=encoding)
    name = source if isinstance(source, str) else getattr(source, "name", f"a {type(source).__name__}")
    for column in (target, groups, time):
        _check_column(frame, column, str(name))
    notes = []
    labelled = frame[target].notna().to_numpy()
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows have no value in {target!r} and are left out.")
        frame = frame[labelled]
    codes, classes = encode_labels(labels_of(frame[target]), target)
    features = frame.drop(columns=[column for column in {target, groups, time} if column is not None])
    used, columns = understand(features, kinds or {})
    return Dataset(
        frame=used,
        columns=columns,
        target=codes,
        classes=classes,
        target_name=target,
        groups=None if groups is None else _group_codes(frame[groups]),
        time=None if time is None else _moments(frame[time]),
        source=str(name),
        notes=(*notes, *rare_class_notes(codes, classes)),
    )


def read_table(source: Any, *, encoding: str = "utf-8") -> pd.DataFrame:
    """Read a file or take a frame or array, as it is.

    Parameters
    ----------
    source
        A path (CSV, TSV, Parquet, Feather; also .gz; or a folder of texts, see `read_folder`), a pandas or polars
        frame, a 2-D NumPy array, whose columns are then named ``column_0`` and on, or a list, series or array of
        strings, which becomes the column ``text``. Values of text files stay text here.
    encoding
        Of text files.

    Raises
    ------
    DataError
        If there is no such file, or it is empty, ragged, badly encoded or of an unknown kind, or if two columns have
        the same name.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        frame = read_folder(path, encoding) if path.is_dir() else _read_path(path, encoding)
    elif is_texts(source):
        frame = pd.DataFrame({TEXT: pd.Series(list(source), dtype="str")})
    elif isinstance(source, np.ndarray):
        frame = _from_array(source)
    elif isinstance(source, pd.DataFrame):
        frame = source
    else:
        frame = _from_narwhals(source)
    _check_names([str(name) for name in frame.columns], _name_of(source))
    if not len(frame):
        raise DataError("A table needs rows.", f"{_name_of(source)} has none.", "Give a table with at least one row.")
    return frame.set_axis([str(name) for name in frame.columns], axis=1).reset_index(drop=True)


def is_texts(source: Any) -> bool:
    """Say whether rows are given as texts alone: a list, a series or a one-dimensional array, of strings and None."""
    if isinstance(source, list | tuple):
        values: Sequence[Any] = source
    elif isinstance(source, np.ndarray) and source.ndim == 1 and source.dtype.kind in "OU":
        values = source.tolist()
    elif isinstance(source, pd.Series) or type(source).__module__.startswith("polars.series"):
        values = source.to_list()
    else:
        return False
    # NaN, the one value that differs from itself, is what a series has for None.
    present = [value for value in values if value is not None and value == value]  # noqa: PLR0124
    return bool(present) and all(isinstance(value, str) for value in present)


def _check_column(frame: pd.DataFrame, column: str | None, source: str) -> None:
    if column is None or column in frame.columns:
        return
    near = difflib.get_close_matches(column, list(frame.columns), n=1, cutoff=0.4)
    shown = ", ".join(map(repr, frame.columns[:12])) + (", …" if len(frame.columns) > 12 else "")
    raise DataError(
        "A column that is named must be in the table.",
        f"{source} has no column {column!r}; it has {shown}.",
        f"Did you mean {near[0]!r}?" if near else "Choose one of these.",
    )


def _group_codes(values: "pd.Series[Any]") -> npt.NDArray[np.int64]:
    codes, _ = pd.factorize(values.astype("str").to_numpy())
    return codes.astype(np.int64)


def _moments(values: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    kind = understand_column(values, None)[1].kind
    moments, column = understand_column(values, "date" if kind == "date" else "number")
    if column.missing or moments.isna().any():
        raise DataError(
            "The time column holds a date or a number in every row.",
            f"{column.name!r} has {int(moments.isna().sum())} values missing.",
            "Choose another column, or fill the gaps.",
        )
    return np.asarray(moments.astype("int64") if kind == "date" else moments, dtype=np.float64)


def _name_of(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else f"The {type(source).__name__}"


def _from_array(array: np.ndarray[Any, Any]) -> pd.DataFrame:
    if array.ndim != 2:
        raise DataError(
            "An array needs two dimensions, rows and columns.",
            f"It has shape {array.shape}.",
            "Reshape it: X.reshape(-1, 1) for a single column, X.reshape(1, -1) for a single row.",
        )
    return pd.DataFrame(array, columns=[f"column_{i}" for i in range(array.shape[1])])


def _from_narwhals(source: Any) -> pd.DataFrame:
    frame = nw.from_native(source, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        raise DataError(
            "A table is a path, a pandas or polars frame, or a NumPy array.",
            f"A {type(source).__name__} was given.",
            "Convert it to one of these.",
        )
    return frame.to_pandas()


def _check_names(names: Sequence[str], source: str) -> None:
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        places = [str(i + 1) for i, name in enumerate(names) if name == repeated[0]]
        raise DataError(
            "Column names must differ.",
            f"{source} has {repeated[0]!r} as columns {' and '.join(places)}.",
            "Rename all but one of them.",
        )


def _read_path(path: Path, encoding: str) -> pd.DataFrame:
    if not path.is_file():
        near = ", ".join(sorted(p.name for p in path.parent.glob(f"{path.stem}*"))[:3]) if path.parent.is_dir() else ""
        raise DataError(
            "The file must exist.",
            f"There is no file {path}.",
            f"Did you mean {near}?" if near else f"Check the path; the current folder is {Path.cwd()}.",
        )
    suffix = Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix not in _SEPARATORS and suffix not in _BINARY:
        raise DataError(f"A table file is {_KNOWN}.", f"{path.name} is none of these.", "Convert or rename it.")
    data = _read_bytes(path)
    if not data.strip():
        raise DataError("A table needs rows.", f"{path} is empty.", "Check how the file was made.")
    if suffix in _BINARY:
        return _read_binary(path, suffix, data)
    return _read_text(path, data, _SEPARATORS[suffix], encoding)


def _read_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix.lower() != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise DataError(
            "A .gz file must be gzip data.", f"{path} is not ({error}).", "Copy the file again, or drop the .gz."
        ) from error


def _read_binary(path: Path, suffix: str, data: bytes) -> pd.DataFrame:
    reader = pyarrow.parquet.read_table if suffix in {".parquet", ".pq"} else pyarrow.feather.read_table
    try:
        table = reader(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            "The content must match the file's ending.",
            f"{path} cannot be read as {suffix} ({error}).",
            "Rename the file to what it is, or write it again.",
        ) from error
    _check_names(table.column_names, str(path))
    return _to_pandas(table)


def _read_text(path: Path, data: bytes, separator: str, encoding: str) -> pd.DataFrame:
    text = to_utf8(path, data, encoding)
    header = text.split(b"\n", 1)[0]
    # Spreadsheets of half the world write "CSV" with semicolons, and many a .txt has commas.
    separator = max([separator, ",", ";", "\t"], key=lambda mark: header.count(mark.encode()))
    try:
        table = _parse_text(text, separator)
    except pa.ArrowInvalid as error:
        raise _ragged(path, text, separator, error) from error
    names = [name or f"unnamed_{i + 1}" for i, name in enumerate(table.column_names)]
    _check_names(names, str(path))
    return _to_pandas(table.rename_columns(names))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _parse_text(text: bytes, separator: str) -> pa.Table:
    try:
        return _parse_blocks(text, separator, _BLOCK)
    except pa.ArrowInvalid:
        # A row must fit into one block, and there may be a whole book in a cell.
        if len(text) <= _BLOCK:
            raise
        return _parse_blocks(text, separator, min(len(text), _LARGEST_BLOCK))


def _parse_blocks(text: bytes, separator: str, size: int) -> pa.Table:
    read_options = pa.csv.ReadOptions(block_size=size)
    parse = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    # Every column is read as text: types guessed from the first block of a file fail on a later one.
    names = pa.csv.open_csv(io.BytesIO(text), read_options, parse_options=parse).schema.names
    convert = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in names}, null_values=[""], strings_can_be_null=True
    )
    return pa.csv.read_csv(io.BytesIO(text), read_options, parse_options=parse, convert_options=convert)


def _ragged(path: Path, text: bytes, separator: str, error: Exception) -> DataError:
    # Arrow does not say on which line of the file it stopped.
    reader = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=separator)
    width = len(next(reader))
    bad = [(reader.line_num, row) for row in reader if row and len(row) != width]
    if not bad:
        return DataError("The file must be a well-formed table.", f"{path}: {error}.", "Mend it, or write it again.")
    line, row = bad[0]
    others = f" (as have {len(bad) - 1} more lines)" if len(bad) > 1 else ""
    return DataError(
        f"Every line must have as many fields as the header: {width}.",
        f"{path}, line {line}, has {len(row)}{others}: {separator.join(row)[:80]!r}.",
        "Mend that line: a missing field, or a separator inside a value that needs quotes.",
    )
