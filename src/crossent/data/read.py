"""Reading of files, frames and arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.data.arrow import frame_of
from crossent.data.cells import MISSING_TEXTS, plain_series
from crossent.data.columnar import FEATHER, PARQUET, damage_as_data_error, read_columnar
from crossent.data.dataset import Dataset
from crossent.data.delimited import SEPARATORS, read_delimited
from crossent.data.folder import TEXT, folder_notes, read_folder
from crossent.data.labels import encode_labels, labels_of, rare_class_notes
from crossent.data.limits import read_opened
from crossent.data.understand import understand, understand_column
from crossent.data.weights import read_weights, weights_that_differ
from crossent.errors import DataError
from crossent.kinds.values import texts_of
from crossent.names import check_distinct, listed, nearest, shortened

_KNOWN = "CSV (.csv), TSV (.tsv), Parquet (.parquet) or Feather (.feather), each also with .gz"

# A whole number of a column with gaps, which pandas keeps as a fraction: 3.0 and 3 are one group.
_WHOLE = r"^(-?\d+)\.0+$"


def read(
    source: Any,
    target: str,
    *,
    groups: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    kinds: Mapping[str, str] | None = None,
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
        Name of a column; rows that share its value are never split between training and evaluation. A row without a
        value is a group of its own, and a note says how many there are.
    time
        Name of a column of dates or numbers; the latest rows are the ones held out. With `groups` these are the groups
        whose last rows are the latest, each of them whole.
    weight
        Name of a column of numbers, 0 or above: how many rows each row counts as. Rows of weight 0 are left out, and a
        note says so.
    kinds
        Kinds of columns where the inferred ones are wrong.
    encoding
        Of text files.

    Raises
    ------
    DataError
        If the file cannot be read, the target is not there or has fewer than two classes, no column can be used, or a
        weight is missing, negative or not finite.

    Examples
    --------
    >>> from crossent.datasets import hpc_path
    >>> dataset = read(hpc_path(), target="class")
    >>> len(dataset), dataset.classes
    (4331, ('F', 'L', 'M', 'VF'))
    """
    frame = read_table(source, encoding=encoding)
    name = str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
    for column in (target, groups, time, weight):
        check_column(frame, column, str(name))
    if weight == target:
        raise DataError(
            "The weights of the rows and their labels are in two columns.",
            f"Both are to be {target!r}.",
            "Name another column of weights, or leave it out.",
        )
    notes = folder_notes(Path(source)) if isinstance(source, str | Path) and _is_folder(Path(source)) else []
    labelled = frame[target].notna().to_numpy()
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows have no value in {target!r} and are left out.")
        frame = frame[labelled]
    weights, weight_notes = (None, []) if weight is None else read_weights(frame[weight])
    if weights is not None and not weights.all():
        frame, weights = frame[weights > 0], weights[weights > 0]
    codes, classes = encode_labels(labels_of(frame[target]), target)
    group_codes, group_notes = (None, []) if groups is None else _group_codes(frame[groups])
    features = frame.drop(columns=[column for column in {target, groups, time, weight} if column is not None])
    used, columns = understand(features, kinds or {})
    return Dataset(
        frame=used,
        columns=columns,
        target=codes,
        classes=classes,
        target_name=target,
        groups=group_codes,
        time=None if time is None else _moments(frame[time]),
        source=str(name),
        notes=(*notes, *weight_notes, *group_notes, *rare_class_notes(codes, classes)),
        weight=None if weights is None else weights_that_differ(weights),
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
        frame = read_folder(path, encoding) if _is_folder(path) else _read_path(path, encoding)
    elif is_texts(source):
        frame = pd.DataFrame({TEXT: _from_texts(source)})
    elif isinstance(source, np.ndarray):
        frame = _from_array(source)
    elif isinstance(source, pd.DataFrame):
        frame = source
    else:
        frame = _from_narwhals(source)
    names = [str(name) for name in frame.columns.tolist()]
    check_distinct(names, _name_of(source))
    if not len(frame):
        raise DataError("A table needs rows.", f"{_name_of(source)} has none.", "Give a table with at least one row.")
    frame = frame.reset_index(drop=True)
    # Pandas goes over names held as objects in a fraction of the time of its own texts, which counts for single rows.
    frame.columns = pd.Index(names, dtype=object)
    return frame


def read_lines(path: Path, *, encoding: str = "utf-8") -> pd.DataFrame:
    """Read a file of separated values whose first line is a row like the others; all values stay text.

    Raises
    ------
    DataError
        As in `read_table`.
    """
    suffix, data = _open(path)
    return frame_of(read_delimited(path, suffix, data, encoding, named=False), str(path))


def is_delimited(path: Path) -> bool:
    """Say whether a file is of separated values, by its name."""
    return _suffix_of(path) in SEPARATORS


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


def check_column(frame: pd.DataFrame, column: str | None, source: str) -> None:
    """Check that a table has a column that is named, if one is.

    Raises
    ------
    DataError
        If it has not.
    """
    if column is None or column in frame.columns:
        return
    near = nearest(column, frame.columns, cutoff=0.4)
    raise DataError(
        "A column that is named must be in the table.",
        f"{source} has no column {shortened(column)}; it has {listed(frame.columns)}.",
        f"Did you mean {near!r}?" if near else "Choose one of these.",
    )


def _group_codes(values: "pd.Series[Any]") -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the group of each row, one of its own where the cell is empty, and what a reader should know of it."""
    texts = texts_of(plain_series(values)).str.strip().str.replace(_WHOLE, r"\1", regex=True)
    codes, names = pd.factorize(texts.mask(texts == ""))
    alone = codes < 0
    codes[alone] = len(names) + np.arange(alone.sum())
    notes = []
    if alone.any():
        notes.append(f"{int(alone.sum()):,} rows have no value in {values.name!r}; each is a group of its own.")
    words = [word for word in MISSING_TEXTS if word in set(names)]
    if words:
        notes.append(
            f"{words[0]!r} in {values.name!r} is the name of a group; if it means that there is none, leave such cells"
            " empty."
        )
    return codes.astype(np.int64), notes


def _moments(values: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    moments, column = understand_column(values, None)
    if column.kind not in {"date", "number"}:
        moments, column = understand_column(values, "number")
    if column.missing or moments.isna().any():
        raise DataError(
            "The time column holds a date or a number in every row.",
            f"{column.name!r} has {int(moments.isna().sum())} values missing.",
            "Choose another column, or fill the gaps.",
        )
    return np.asarray(moments.astype("int64") if column.kind == "date" else moments, dtype=np.float64)


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
    return frame_of(frame.to_arrow(), f"The {type(source).__name__}")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise DataError(
            "The file must exist.", f"{shortened(str(path))} cannot be read ({error.strerror}).", "Check the path."
        ) from error


def _from_texts(texts: Any) -> "pd.Series[str]":
    try:
        return pd.Series(list(texts), dtype="str")
    except UnicodeEncodeError as error:
        raise DataError(
            "Texts are made of whole characters.",
            f"One of them holds half of a character, {shortened(error.object[error.start])}.",
            "Read them again with the right encoding, or replace such halves: text.encode(errors='replace').decode().",
        ) from error


def _read_path(path: Path, encoding: str) -> pd.DataFrame:
    suffix, data = _open(path)
    if suffix in SEPARATORS:
        return frame_of(read_delimited(path, suffix, data, encoding), str(path))
    table = read_columnar(path, suffix, data)
    with damage_as_data_error(path, suffix):
        return frame_of(table, str(path))


def _open(path: Path) -> tuple[str, bytes]:
    """Return the kind of a file of a table, by its name, and what it holds."""
    if not path.is_file():
        near = ", ".join(sorted(p.name for p in path.parent.glob(f"{path.stem}*"))[:3]) if path.parent.is_dir() else ""
        raise DataError(
            "The file must exist.",
            f"There is no file {path}.",
            f"Did you mean {near}?" if near else f"Check the path; the current folder is {Path.cwd()}.",
        )
    suffix = _suffix_of(path)
    if suffix not in SEPARATORS and suffix not in PARQUET | FEATHER:
        raise DataError(f"A table file is {_KNOWN}.", f"{path.name} is none of these.", "Convert or rename it.")
    data = read_opened(path)
    if not data or data.isspace():
        raise DataError("A table needs rows.", f"{path} is empty.", "Check how the file was made.")
    return suffix, data


def _suffix_of(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
