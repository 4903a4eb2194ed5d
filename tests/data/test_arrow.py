"""Each type of Arrow, as a feature and as the target: the value that people expect, or one clear error."""

import datetime as dt
import decimal
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

from crossent.data.arrow import frame_of, native_buffer
from crossent.data.read import read, read_table
from crossent.errors import DataError

DAYS = [dt.date(2020, 1, 31), dt.date(1969, 7, 20)]
MOMENTS = pd.to_datetime(["2020-01-31 12:30", "1969-07-20 20:17"])
TIMES = pd.to_datetime(["1970-01-01 12:30:00", "1970-01-01 00:00:01"])
TEXTS = ["2020-01-31 12:30:00", "1969-07-20 20:17:00"]
IDS = [uuid.UUID(int=2), uuid.UUID(int=1)]

# Type, two values, the kind of the column, the two values converted, the two classes in the order of the values.
READ: list[tuple[pa.DataType, list[Any], str, list[Any], list[Any]]] = [
    (pa.bool_(), [True, False], "boolean", ["true", "false"], [True, False]),
    (pa.int8(), [-5, 3], "number", [-5, 3], [-5, 3]),
    (pa.uint64(), [2**63 + 2**40, 1], "number", [2.0**63 + 2.0**40, 1], [str(2**63 + 2**40), "1"]),
    (pa.float16(), [np.float16(1), np.float16(2)], "number", [1, 2], [1, 2]),
    (pa.float32(), [7.0, -7.0], "number", [7, -7], [7, -7]),
    (pa.string(), ["b", "a"], "category", ["b", "a"], ["b", "a"]),
    (pa.large_string(), ["1", "2"], "number", [1, 2], [1, 2]),
    (pa.string_view(), ["b", "a"], "category", ["b", "a"], ["b", "a"]),
    (pa.binary(), ["é".encode(), b"a"], "category", ["é", "a"], ["é", "a"]),
    (pa.large_binary(), [b"b", b"a"], "category", ["b", "a"], ["b", "a"]),
    (pa.binary_view(), [b"b", b"a"], "category", ["b", "a"], ["b", "a"]),
    (pa.binary(2), [b"bb", b"aa"], "category", ["bb", "aa"], ["bb", "aa"]),
    (pa.decimal128(5, 2), [decimal.Decimal("1.50"), decimal.Decimal("2")], "number", [1.5, 2], ["1.50", "2.00"]),
    (pa.decimal256(60, 0), [decimal.Decimal(12), decimal.Decimal(7)], "number", [12, 7], [12, 7]),
    (pa.date32(), DAYS, "date", [*pd.to_datetime(DAYS)], ["2020-01-31", "1969-07-20"]),
    (pa.date64(), DAYS, "date", [*pd.to_datetime(DAYS)], ["2020-01-31", "1969-07-20"]),
    (pa.timestamp("s"), [*MOMENTS], "date", [*MOMENTS], TEXTS),
    (pa.timestamp("ns"), [*MOMENTS], "date", [*MOMENTS], TEXTS),
    (pa.timestamp("us", "UTC"), [*MOMENTS], "date", [*MOMENTS], TEXTS),
    (pa.timestamp("ms", "Mars/Base"), [1_580_473_800_000, 0], "date", [MOMENTS[0], pd.Timestamp(0)], []),
    (pa.timestamp("us", "+05:30"), [0, 10**6], "date", [pd.Timestamp(0), pd.Timestamp(10**9)], []),
    (pa.time32("s"), [45000, 1], "date", [*TIMES], ["12:30:00", "00:00:01"]),
    (pa.time64("ns"), [45000 * 10**9, 10**9], "date", [*TIMES], ["12:30:00.000000000", "00:00:01.000000000"]),
    (pa.duration("s"), [90, -1], "number", [90, -1], ["0 days 00:01:30", "-1 days +23:59:59"]),
    (pa.duration("ns"), [10**9, 0], "number", [1, 0], ["0 days 00:00:01", "0 days 00:00:00"]),
    (pa.dictionary(pa.int8(), pa.string()), ["b", "a"], "category", ["b", "a"], ["b", "a"]),
    (pa.dictionary(pa.int32(), pa.int64()), [3, 1], "category", ["3", "1"], [3, 1]),
    (pa.dictionary(pa.int8(), pa.timestamp("s")), [*MOMENTS], "category", TEXTS, []),
    (pa.uuid(), [identifier.bytes for identifier in IDS], "category", [*map(str, IDS)], []),
]  # fmt: skip


def array_of(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Return an array of a type, also of those that Arrow does not make of Python's values."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def table_of(values: pa.Array) -> pa.Table:
    """Return a table in which column x has two values in turn, and so has the target."""
    return pa.table({"x": values, "z": ["u", "v", "w"] * (len(values) // 3), "y": ["a", "b"] * (len(values) // 2)})


def write(folder: Path, table: pa.Table) -> Path:
    with pa.ipc.new_file(folder / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    return folder / "t.arrow"


@pytest.mark.parametrize(("kind", "pair", "name", "converted", "classes"), READ, ids=lambda value: str(value)[:40])
def test_values_are_those_that_people_expect(
    tmp_path: Path, kind: pa.DataType, pair: list[Any], name: str, converted: list[Any], classes: list[Any]
) -> None:
    values = array_of(pair * 30, kind)
    dataset = read(write(tmp_path, table_of(values)), "y")
    column = dataset.columns[0]
    assert (column.name, column.kind, column.missing) == ("x", name, 0)
    assert dataset.frame["x"].head(2).tolist() == converted
    if classes:
        labelled = read(write(tmp_path, table_of(values).rename_columns(["y", "z", "x"])), "y")
        assert [labelled.classes[code] for code in labelled.target[:2]] == classes
        assert [type(label) for label in labelled.classes] == [type(label) for label in sorted(classes)]


@pytest.mark.parametrize("kind", [kind for kind, *_ in READ if not isinstance(kind, pa.BaseExtensionType)], ids=str)
def test_gaps_are_missing_values(tmp_path: Path, kind: pa.DataType) -> None:
    pair = next(pair for other, pair, *_ in READ if other == kind)
    dataset = read(write(tmp_path, table_of(array_of([*pair, None] * 20, kind))), "y")
    assert dataset.columns[0].missing == 20
    assert dataset.frame["x"].isna().sum() == 20


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1]] * 6),
        pa.array([["a"]] * 6, pa.large_list(pa.string())),
        pa.array([[1, 2]] * 6, pa.list_(pa.int8(), 2)),
        pa.array([[1]] * 6, pa.list_view(pa.int8())),
        pa.array([{"a": 1}] * 6),
        pa.array([[("a", 1)]] * 6, pa.map_(pa.string(), pa.int8())),
        pa.array([(1, 2, 3)] * 6, pa.month_day_nano_interval()),
        pa.DictionaryArray.from_arrays(pa.array([0] * 6), pa.array([[1]])),
        pa.RunEndEncodedArray.from_arrays(pa.array([6], pa.int16()), pa.array([[1]])),
        pa.UnionArray.from_dense(
            pa.array([0] * 6, pa.int8()), pa.array(range(6), pa.int32()), [pa.array(range(6)), pa.array(["a"])]
        ),
    ],
    ids=lambda values: str(values.type),
)
def test_cells_of_several_values_are_an_error_that_names_the_column(tmp_path: Path, values: pa.Array) -> None:
    with pytest.raises(DataError, match=r"cell holds one value.*t\.arrow, column 'x'"):
        read(write(tmp_path, table_of(values)), "y")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"\xff", b"a"] * 3),
        pa.array([2 * 10**8] * 6, pa.int32()).view(pa.date32()),
        pa.array([2**62, 0] * 3, pa.timestamp("s", "UTC")),
        pa.array([2**60, 0] * 3, pa.timestamp("ms")),
    ],
    ids=lambda values: str(values.type),
)
def test_bytes_and_moments_that_are_none(tmp_path: Path, values: pa.Array) -> None:
    with pytest.raises(DataError, match="column 'x'"):
        read(write(tmp_path, table_of(values)), "y")


def test_runs_are_the_values_that_they_stand_for(tmp_path: Path) -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 6], pa.int32()), pa.array(["b", "a"]))
    frame = read_table(write(tmp_path, table_of(runs)))
    assert frame["x"].tolist() == ["b", "b", "a", "a", "a", "a"]


def test_years_beyond_9999_are_dates(tmp_path: Path) -> None:
    days = pa.array([3_000_000, 4_000_000] * 3, pa.int32()).view(pa.date32())
    dates = read(write(tmp_path, table_of(days)), "y").frame["x"]
    assert dates.dt.year.head(2).tolist() == [10183, 12921]


def test_null_columns_and_extension_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"p": pd.period_range("2020-01", periods=6, freq="M"), "i": pd.cut(np.arange(6), 2)})
    assert read_table(write(tmp_path, pa.table({"n": pa.nulls(6)})))["n"].isna().all()
    table = pa.Table.from_pandas(frame)
    assert frame_of(table, "t")["p"].tolist()[:2] == ["2020-01", "2020-02"]
    assert frame_of(table, "t")["i"].astype(str).tolist() == frame["i"].astype(str).tolist()


@pytest.mark.parametrize(
    "notes", [b"{", b"[]", b"null", b'{"index_columns": 3}', b'{"index_columns": [[]]}', b"\xff", b"[" * 10**5]
)
def test_damaged_notes_of_pandas_do_not_matter(notes: bytes) -> None:
    table = pa.table({"x": [1, 2]}).replace_schema_metadata({"pandas": notes})
    assert frame_of(table, "t")["x"].tolist() == [1, 2]


def test_the_index_of_a_frame_is_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2], "who": ["p", "q"]}).set_index("who")
    frame.to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["x"]


def test_categories_that_repeat_are_one() -> None:
    repeated = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "a", None]))
    values = frame_of(pa.table({"x": repeated}), "t")["x"]
    assert values.astype(object).where(values.notna(), None).tolist() == ["a", "a", None]


@pytest.mark.parametrize(
    "dtype", [polars.Datetime("ms", "Europe/Berlin"), polars.Duration, polars.Time, polars.Decimal(10, 2)]
)
def test_frames_of_polars_are_read_as_files_are(dtype: Any) -> None:
    frame = polars.DataFrame({"x": polars.Series([1, 2, 1, 2], dtype=polars.Int64).cast(dtype), "y": ["a", "b"] * 2})
    assert len(read(frame, "y")) == 4


def test_columns_of_arrow_in_a_frame_of_pandas() -> None:
    days = pd.array(DAYS * 3, dtype=pd.ArrowDtype(pa.date32()))
    dataset = read(pd.DataFrame({"x": days, "y": ["a", "b"] * 3}), "y")
    assert dataset.frame["x"].head(2).tolist() == [*pd.to_datetime(DAYS)]


def test_arrow_holds_no_python_object_of_what_it_reads() -> None:
    # A thread of Arrow that lets go of one while the interpreter ends would end the process by SIGABRT.
    data = bytes(range(256)) * 8
    before = sys.getrefcount(data)
    buffer = native_buffer(data)
    assert sys.getrefcount(data) == before
    assert buffer.to_pybytes() == data
    assert native_buffer(b"").size == 0
