from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from crossent.data import batches
from crossent.data.batches import open_number_batches
from crossent.errors import DataError


def test_reads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 300)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=1000).astype(np.float32),
            "label": rng.choice(["x", "y", "zz"], 1000),
            "b": rng.integers(0, 100, 1000).astype(np.int16),
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=450)
    file = open_number_batches(tmp_path / "rows.parquet", "label")
    assert (len(file), file.features, file.dtype) == (1000, ("a", "b"), np.float32)
    assert list(file.classes) == ["x", "y", "zz"]
    assert list(file.counts) == list(frame["label"].value_counts().sort_index())
    for _ in range(2):
        parts = list(file)
        assert max(len(features) for features, _ in parts) <= 300
        np.testing.assert_array_equal(np.vstack([features for features, _ in parts]), frame[["a", "b"]].to_numpy())
        codes = np.concatenate([codes for _, codes in parts])
        np.testing.assert_array_equal(file.classes[codes], frame["label"])


def test_wide_numbers_stay_wide(tmp_path: Path) -> None:
    pd.DataFrame({"a": [2**40, 1], "y": [5, 3]}).to_parquet(tmp_path / "rows.parquet")
    file = open_number_batches(tmp_path / "rows.parquet", "y")
    ((features, codes),) = file
    assert features.dtype == np.float64
    assert features[0, 0] == 2**40
    assert (list(file.classes), list(codes)) == ([3, 5], [1, 0])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"a": [1.0, None, 2.0], "y": [0, 1, 0]}, "row 2, column 'a': nan"),
        ({"a": [1.0, 2.0, np.inf], "y": [0, 1, 0]}, "row 3, column 'a': inf"),
        ({"a": ["one", "two", "three"], "y": [0, 1, 0]}, "column 'a', is of type"),
        ({"a": [1.0, 2.0, 3.0], "y": ["u", None, "v"]}, "row 2, has none"),
        ({"a": [1.0, 2.0, 3.0]}, "has no column 'y'"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, frame: dict[str, list[object]], message: str) -> None:
    pd.DataFrame(frame).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=message):
        list(open_number_batches(tmp_path / "rows.parquet", "y"))


def test_no_file_and_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        open_number_batches(tmp_path / "none.parquet", "y")
    (tmp_path / "text.parquet").write_text("a,y\n1,2\n")
    with pytest.raises(DataError, match=r"cannot be read as \.parquet"):
        open_number_batches(tmp_path / "text.parquet", "y")


def test_long_labels_are_there_once(tmp_path: Path) -> None:
    """Each of 3,000 rows has a label of 100,000 characters: 300 MB, or 1.2 GB as NumPy's own texts."""
    labels = ["x" * 100_000, "y" * 100_000]
    pd.DataFrame({"a": np.arange(3000.0), "y": labels * 1500}).to_parquet(tmp_path / "rows.parquet")
    before = pa.total_allocated_bytes()
    file = open_number_batches(tmp_path / "rows.parquet", "y")
    ((_, codes),) = file
    assert (file.classes.tolist(), file.counts.tolist(), codes[:3].tolist()) == (labels, [1500, 1500], [0, 1, 0])
    assert pa.default_memory_pool().max_memory() - before < 300e6 or pa.total_allocated_bytes() - before < 1e6


def test_labels_of_every_encoding(tmp_path: Path) -> None:
    table = pa.table({"a": [0.5, 1.5, 2.5], "y": ["v", "u", "v"]})
    for encoding in ("PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"):
        pyarrow.parquet.write_table(
            table, tmp_path / "rows.parquet", use_dictionary=False, column_encoding={"a": "PLAIN", "y": encoding}
        )
        ((_, codes),) = open_number_batches(tmp_path / "rows.parquet", "y")
        assert codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.bool_(), pa.date32(), pa.large_string(), pa.binary(), pa.decimal128(4, 1)]
)
def test_labels_of_any_type(tmp_path: Path, kind: pa.DataType) -> None:
    pair = {"bool": [True, False], "binary": [b"v", b"u"], "large_string": ["v", "u"]}.get(str(kind), [1, 0])
    labels = pa.array(pair * 2, pa.int32() if kind == pa.date32() else kind)
    pa.parquet.write_table(pa.table({"a": [0.5] * 4, "y": labels.cast(kind)}), tmp_path / "rows.parquet")
    file = open_number_batches(tmp_path / "rows.parquet", "y")
    ((_, codes),) = file
    assert codes.tolist() == [1, 0, 1, 0]
    assert len(file.classes) == 2


def test_gaps_are_told_whatever_type_the_column_has(tmp_path: Path) -> None:
    for values in ([1, None, 3], [True, None, False], [1.5, None, 2.5]):
        pd.DataFrame({"a": pa.array(values).to_pandas(), "y": [0, 1, 0]}).to_parquet(tmp_path / "rows.parquet")
        with pytest.raises(DataError, match="row 2, column 'a': nan"):
            list(open_number_batches(tmp_path / "rows.parquet", "y"))


@pytest.mark.parametrize("size", [4, 100, 500, 900, -4])
def test_truncated_files_are_one_error(tmp_path: Path, size: int) -> None:
    pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [0, 1, 0]}).to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.parquet").write_bytes((tmp_path / "rows.parquet").read_bytes()[:size])
    with pytest.raises(DataError, match=r"rows\.parquet"):
        list(open_number_batches(tmp_path / "rows.parquet", "y"))


def test_no_rows_are_an_error(tmp_path: Path) -> None:
    pd.DataFrame({"a": np.empty(0), "y": np.empty(0, np.int64)}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="needs rows"):
        open_number_batches(tmp_path / "rows.parquet", "y")
