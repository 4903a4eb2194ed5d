import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from crossent.data.columnar import expanded_bytes, least_bytes
from crossent.data.read import read, read_table
from crossent.errors import DataError

SLOW = pytest.mark.slow
TEXTS = ["a", "bcd", "", None, "é"] * 4
FRAME = pd.DataFrame({"x": np.arange(20) * 0.5, "t": TEXTS, "c": pd.Categorical(TEXTS), "y": ["u", "v"] * 10})


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_feather_gives_what_was_written(tmp_path: Path, compression: str) -> None:
    pyarrow.feather.write_feather(FRAME, tmp_path / "t.feather", compression=compression, chunksize=7)
    read_back = read_table(tmp_path / "t.feather")
    pd.testing.assert_frame_equal(
        read_back.astype({"c": object}), FRAME.astype({"c": object}), check_dtype=False, check_column_type=False
    )


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("encoding", ["RLE_DICTIONARY", "PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_parquet_gives_what_was_written(tmp_path: Path, compression: str, encoding: str) -> None:
    packed = encoding == "RLE_DICTIONARY"
    pyarrow.parquet.write_table(
        pa.Table.from_pandas(FRAME.drop(columns="c")),
        tmp_path / "t.parquet",
        compression=compression,
        use_dictionary=packed,
        column_encoding=None if packed else {"x": "PLAIN", "t": encoding, "y": encoding},
        row_group_size=7,
    )
    read_back = read_table(tmp_path / "t.parquet")
    assert read_back["t"].dtype == "str"
    pd.testing.assert_frame_equal(read_back, FRAME.drop(columns="c"), check_dtype=False, check_column_type=False)


def test_parquet_without_rows_needs_rows(tmp_path: Path) -> None:
    FRAME.head(0).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="A table needs rows"):
        read_table(tmp_path / "t.parquet")


def test_what_a_batch_takes_is_counted_by_row() -> None:
    lengths = sum(len(text.encode()) for text in TEXTS if text is not None)
    dictionary = pa.array(TEXTS).dictionary_encode()
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([15, 20], pa.int32()), pa.array(["ab", "cde"]))
    for values, text in [
        (pa.array(TEXTS), lengths),
        (pa.array(TEXTS, pa.string_view()), lengths),
        (dictionary, lengths),
        (runs, 15 * 2 + 5 * 3),
    ]:
        assert expanded_bytes(pa.record_batch({"a": values})) == text + 20 * 8
    numbers = pa.record_batch({"a": pa.array(range(20), pa.int16()), "b": pa.array(range(20), pa.float64())})
    assert expanded_bytes(numbers) == least_bytes(numbers.schema, 20) == 20 * 10


def write_repeated(folder: Path, name: str) -> Path:
    """Write a small file in which each of 1,500 rows has the same text of 100,000 characters: 150 MB."""
    text = "x" * 100_000
    if name == "t.parquet":
        pyarrow.parquet.write_table(pa.table({"t": [text] * 1500, "y": ["a", "b"] * 750}), folder / name)
        return folder / name
    if name == "runs.arrow":
        column: pa.Array = pa.RunEndEncodedArray.from_arrays(pa.array([1500], pa.int32()), pa.array([text]))
    else:
        column = pa.DictionaryArray.from_arrays(pa.array([0] * 1500, pa.int8()), pa.array([text]))
    table = pa.table({"t": column, "y": ["a", "b"] * 750})
    with pa.ipc.new_file(folder / name, table.schema) as writer:
        writer.write_table(table)
    return folder / name


@pytest.mark.parametrize("name", [pytest.param("t.parquet", marks=SLOW), "runs.arrow", "dictionary.arrow"])
def test_a_small_file_that_is_a_large_table_is_refused_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write_repeated(tmp_path, name)
    assert path.stat().st_size < 200_000
    code = """
import resource, sys
from crossent.data.read import read
from crossent.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(sys.argv[1], "y")
except DataError as error:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    grown, _, message = done.stdout.partition(" ")
    assert int(grown) < 100, "MiB"
    assert path.name in message
    assert "CROSSENT_MAX_BYTES" in message
    monkeypatch.setenv("CROSSENT_MAX_BYTES", "2GB")
    assert len(read_table(path)) == 1500


def test_rows_without_values_are_counted(tmp_path: Path) -> None:
    table = pa.table({"t": pa.nulls(10**8), "y": pa.nulls(10**8)})
    with pa.ipc.new_file(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="CROSSENT_MAX_BYTES"):
        read_table(tmp_path / "t.arrow")


def test_feather_of_version_1_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.feather").write_bytes(b"FEA1" + bytes(100) + b"FEA1")
    with pytest.raises(DataError, match="version 2"):
        read_table(tmp_path / "t.feather")


def test_indices_beyond_a_dictionary_are_refused(tmp_path: Path) -> None:
    """Conversion would read beyond the memory of the dictionary."""
    codes = pa.array([1, 0] * 1000, pa.int32())
    table = pa.table({"c": pa.DictionaryArray.from_arrays(codes, pa.array(["u", "v"])), "y": ["a", "b"] * 1000})
    with pa.ipc.new_file(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    data = (tmp_path / "t.arrow").read_bytes()
    place = data.index(np.array([1, 0] * 1000, np.int32).tobytes())
    (tmp_path / "t.arrow").write_bytes(data[:place] + np.int32(2**30).tobytes() + data[place + 4 :])
    with pytest.raises(DataError, match=r"t\.arrow cannot be read as \.arrow"):
        read(tmp_path / "t.arrow", "y")


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_every_truncated_file_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    FRAME.to_parquet(path) if suffix == ".parquet" else FRAME.to_feather(path)
    data = path.read_bytes()
    for size in range(1, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match=rf"t\{suffix}"):
            read_table(path)


def test_names_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    FRAME.rename(columns={"x": "some_name"}).to_feather(tmp_path / "t.feather", compression="uncompressed")
    data = (tmp_path / "t.feather").read_bytes()
    (tmp_path / "t.feather").write_bytes(data.replace(b"some_name", b"some\xffname"))
    with pytest.raises(DataError, match=r"t\.feather"):
        read_table(tmp_path / "t.feather")


def test_memory_follows_the_file_that_is_honest(tmp_path: Path) -> None:
    """A column that repeats a few texts in many rows is read, though it is many times its file."""
    frame = pd.DataFrame({"t": ["some words that repeat"] * 400_000, "y": np.arange(400_000) % 3})
    frame.to_parquet(tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size * 50 < 400_000 * 22
    assert len(read_table(tmp_path / "t.parquet")) == 400_000


ZEROS = pa.table({"t": ["0" * 500_000] * 300, "y": ["a", "b"] * 150})


@pytest.mark.parametrize(
    "name",
    ["t.feather", pytest.param("plain.parquet", marks=SLOW), pytest.param("delta.parquet", marks=SLOW)],
)
def test_compressed_content_is_counted_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    """150 MB of zeros in one batch: in a process that may not have as much memory."""
    path = tmp_path / name
    if path.suffix == ".feather":
        pyarrow.feather.write_feather(ZEROS, path, compression="zstd")
    else:
        encoding = "DELTA_BYTE_ARRAY" if name.startswith("delta") else "PLAIN"
        options = {"use_dictionary": False, "compression": "zstd", "column_encoding": {"t": encoding, "y": "PLAIN"}}
        pyarrow.parquet.write_table(ZEROS, path, **options)
    assert path.stat().st_size < 400_000
    code = """
import resource, sys
from crossent.data.read import read
from crossent.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(sys.argv[1], "y")
except DataError as error:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    grown, _, message = done.stdout.partition(" ")
    assert int(grown) < (100 if "delta" not in name else 400), "MiB"
    assert "CROSSENT_MAX_BYTES" in message
