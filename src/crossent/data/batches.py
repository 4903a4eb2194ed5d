"""Reading of a Parquet file of numbers and labels, a batch of rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from crossent.errors import DataError

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]

BATCH_ROWS = 65_536
# Kinds of numbers that float32 holds without loss.
_NARROW = (pa.float16(), pa.float32(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.bool_())


@dataclass(frozen=True, eq=False)
class NumberBatches:
    """A Parquet file whose columns are numbers, but for one that holds labels.

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
        # Buffering ahead would hold the whole file.
        with pyarrow.parquet.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=[*self.features, self.target]):
                features = np.empty((batch.num_rows, len(self.features)), self.dtype)
                for j, name in enumerate(self.features):
                    features[:, j] = batch.column(name).to_numpy(zero_copy_only=False)
                self._check_finite(features, first)
                labels = _labels(batch.column(self.target))
                yield features, np.searchsorted(self.classes, labels).astype(np.int64)
                first += batch.num_rows

    def _check_finite(self, features: Real, first: int) -> None:
        if np.isfinite(features.sum(dtype=np.float64)):
            return
        bad = np.argwhere(~np.isfinite(features))
        if len(bad):
            row, column = bad[0]
            raise DataError(
                "Numbers to fit are all there and finite.",
                f"{self.path}, row {first + row + 1}, column {self.features[column]!r}: {features[row, column]}.",
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
        If there is no such file or column, it is no Parquet, a column holds no numbers, or labels are missing.
    """
    if not path.is_file():
        raise DataError("The file must exist.", f"There is no file {path}.", "Check the path.")
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError("The file must be Parquet.", f"{path} is not ({error}).", "Write it as Parquet.") from error
    if target not in schema.names:
        raise DataError(
            "The target must be a column of the file.",
            f"{path} has no column {target!r}; it has {', '.join(map(repr, schema.names[:12]))}.",
            "Choose one of these.",
        )
    fields = [field for field in schema if field.name != target]
    for field in fields:
        kind = field.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise DataError(
                "All columns but the target are numbers.",
                f"{path}, column {field.name!r}, is of type {kind}.",
                "Encode it as numbers, or drop it.",
            )
    narrow = all(field.type in _NARROW for field in fields)
    classes, counts = _count_labels(path, target)
    dtype = np.dtype(np.float32) if narrow else np.dtype(np.float64)
    return NumberBatches(path, target, tuple(field.name for field in fields), classes, counts, dtype)


def _labels(values: pa.Array) -> npt.NDArray[Any]:
    found = np.asarray(values.to_numpy(zero_copy_only=False))
    return found.astype(str) if found.dtype == object else found


def _count_labels(path: Path, target: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    counts: dict[Any, int] = {}
    first = 0
    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[target]):
            column = batch.column(target)
            if column.null_count:
                row = first + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False))) + 1
                raise DataError("Every row has a label.", f"{path}, row {row}, has none.", "Fill or drop such rows.")
            of_batch = np.unique(_labels(column), return_counts=True)
            for label, count in zip(*of_batch, strict=True):
                counts[label] = counts.get(label, 0) + int(count)
            first += batch.num_rows
    classes = np.array(sorted(counts))
    return classes, np.array([counts[label] for label in classes.tolist()], dtype=np.int64)
