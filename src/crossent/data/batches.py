"""Reading a Parquet file of numbers and labels, a batch of rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from crossent.data.arrow import check_type, series_of
from crossent.data.columnar import damage_as_data_error, dictionary_columns
from crossent.errors import DataError
from crossent.names import check_distinct, listed, shortened

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]

BATCH_ROWS = 65_536
# Largest number of values in a batch, for files with many columns.
_BATCH_VALUES = 1 << 23
# Types of labels that stay as they are; others, such as dates, become text.
_PLAIN = (str, bool, int, float)
# Types of numbers that float32 holds without loss.
_NARROW = (pa.float16(), pa.float32(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.bool_())


@dataclass(frozen=True, eq=False)
class NumberBatches:
    """A Parquet file whose columns are numbers, except for one that holds labels.

    Attributes
    ----------
    path
        The file.
    target
        Name of the column of labels.
    features
        Names of all other columns.
    classes
        ``(K,)`` labels in order.
    counts
        ``(K,)`` int64 number of rows of each.
    dtype
        float32, or float64 where a column holds numbers that float32 does not.
    """

    path: Path
    target: str
    features: tuple[str, ...]
    classes: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]
    dtype: np.dtype[np.float32] | np.dtype[np.float64]

    def __len__(self) -> int:
        """Return n."""
        return int(self.counts.sum())

    def __iter__(self) -> Iterator[tuple[Real, npt.NDArray[np.int64]]]:
        """Yield ``(m, d)`` features and the ``(m,)`` class index of each row.

        Raises
        ------
        DataError
            If a value is missing or not finite.
        """
        first = 0
        positions = {label: i for i, label in enumerate(self.classes.tolist())}
        for batch in _batches(self.path, [*self.features, self.target], self.target):
            features = np.empty((batch.num_rows, len(self.features)), self.dtype)
            for j, name in enumerate(self.features):
                features[:, j] = batch.column(name).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            self._check_finite(features, first)
            labels, codes = _labels(batch.column(self.target))
            yield features, np.array([positions[label] for label in labels], np.int64)[codes]
            first += batch.num_rows

    def _check_finite(self, features: Real, first: int) -> None:
        if np.isfinite(features.sum(dtype=np.float64)):
            return
        bad = np.argwhere(~np.isfinite(features))
        if len(bad):
            row, column = bad[0]
            raise DataError(
                "Numbers to fit are finite, and none is missing.",
                f"{self.path}, row {first + row + 1}, column {shortened(self.features[column])}: "
                f"{features[row, column]}.",
                "Fill or drop such rows.",
            )


def open_number_batches(path: Path, target: str) -> NumberBatches:
    """Read a Parquet file's columns, and count its labels.

    Parameters
    ----------
    path
        The file.
    target
        Name of the column of labels.

    Raises
    ------
    DataError
        If there is no such file or column, if it is not a Parquet file, if a column does not hold numbers, or if labels
        are missing.
    """
    if not path.is_file():
        raise DataError("The file must exist.", f"There is no file {path}.", "Check the path.")
    with damage_as_data_error(path, ".parquet"):
        schema = pyarrow.parquet.read_schema(path)
        check_distinct(schema.names, str(path))
    if target not in schema.names:
        raise DataError(
            "The target must be a column of the file.",
            f"{path} has no column {shortened(target)}; it has {listed(schema.names)}.",
            "Choose one of these.",
        )
    check_type(target, schema.field(target).type, str(path))
    fields = [field for field in schema if field.name != target]
    for field in fields:
        kind = field.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise DataError(
                "All columns but the target are numbers.",
                f"{path}, column {shortened(field.name)}, is of type {shortened(str(kind))}.",
                "Encode it as numbers, or drop it.",
            )
    narrow = all(field.type in _NARROW for field in fields)
    classes, counts = _count_labels(path, target)
    dtype = np.dtype(np.float32) if narrow else np.dtype(np.float64)
    return NumberBatches(path, target, tuple(field.name for field in fields), classes, counts, dtype)


def _batches(path: Path, columns: list[str], target: str) -> Iterator[pa.RecordBatch]:
    """Yield checked batches; labels that are texts come as a dictionary, which holds each text once."""
    with damage_as_data_error(path, ".parquet"):
        # Reading ahead would hold the whole file in memory.
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            texts, rows = dictionary_columns(file.schema_arrow, file.metadata)
        rows = max(min(rows, BATCH_ROWS, _BATCH_VALUES // len(columns)), 1)
        texts = [name for name in texts if name == target]
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False, read_dictionary=texts) as file:
            for batch in file.iter_batches(rows, columns=columns):
                batch.validate(full=True)
                yield batch


def _labels(values: pa.Array) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """Return the distinct labels of a batch, and the place of each row's among them."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    labels = series_of(pa.chunked_array([encoded.dictionary]), "", "").tolist()
    return [label if isinstance(label, _PLAIN) else str(label) for label in labels], encoded.indices.to_numpy()


def _count_labels(path: Path, target: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    counts: dict[Any, int] = {}
    first = 0
    for batch in _batches(path, [target], target):
        column = batch.column(target)
        if column.null_count:
            row = first + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))) + 1
            raise DataError("Every row has a label.", f"{path}, row {row}, has none.", "Fill or drop such rows.")
        labels, codes = _labels(column)
        missing = [i for i, label in enumerate(labels) if label is None or label != label]  # noqa: PLR0124 - NaN
        if np.isin(codes, missing).any():
            row = first + int(np.argmax(np.isin(codes, missing))) + 1
            raise DataError("Every row has a label.", f"{path}, row {row}, has none.", "Fill or drop such rows.")
        for label, count in zip(labels, np.bincount(codes, minlength=len(labels)).tolist(), strict=True):
            if count:
                counts[label] = counts.get(label, 0) + count
        first += batch.num_rows
    if not counts:
        raise DataError("A table needs rows.", f"{path} has none.", "Check how it was made.")
    classes = sorted(counts)
    return _array(classes), np.array([counts[label] for label in classes], dtype=np.int64)


def _array(classes: list[Any]) -> npt.NDArray[Any]:
    # In an array of NumPy's text type, every text takes the room of the longest one.
    return np.array(classes, dtype=object if isinstance(classes[0], str) else None)
