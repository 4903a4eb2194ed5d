"""Damaged and odd tables: each must be read, or refused by one clear error, in little memory.

python benchmarks/fuzz_tables.py                   5,000 mutated files, and odd tables among them
python benchmarks/fuzz_tables.py --only 17         the table of one seed, with its traceback

Files of Feather, Arrow, Parquet, CSV, TSV and gzip have bytes flipped, parts cut off, copied over others or repeated,
numbers in their headers replaced, and the notes of pandas in them changed. Odd tables have each type of Arrow's, as a
feature and as the target, extreme values, repeated names, and cells, names and labels of great length.
"""

import gzip
import io
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

import fuzz_cases
from crossent.data.batches import open_number_batches
from crossent.data.read import read
from crossent.errors import CrossentError

COUNT = 5000
MEMORY = 1 << 30
# One in this number of cases is an unusual table; the others are mutated files.
ODD = 5
ROWS = 60


def case(seed: int) -> str:
    """Make the file of a seed, read it, and return the outcome."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = odd_file(Path(folder), rng) if seed % ODD == 0 else mutated_file(Path(folder), rng)
        try:
            read(path, rng.choice(["y", "y", "t"]))
            if path.suffix == ".parquet":
                for _ in open_number_batches(path, "y"):
                    pass
        except CrossentError as error:
            text = str(error)
            return "error" if len(text) < 2000 else "long error"
    return "read"


def honest_table(rng: random.Random) -> pa.Table:
    """Return a table with the usual types."""
    numbers = np.random.default_rng(rng.randrange(1 << 32))
    words = ["red", "blue", "green", None]
    frame = {
        "x": numbers.normal(size=ROWS),
        "k": numbers.integers(0, 9, ROWS),
        "t": [rng.choice(words) for _ in range(ROWS)],
        "b": [rng.choice([True, False, None]) for _ in range(ROWS)],
        "d": pa.array(numbers.integers(0, 20000, ROWS), pa.int64()).cast(pa.timestamp("s", "Europe/Berlin")),
        "c": pa.array([rng.choice(words) for _ in range(ROWS)]).dictionary_encode(),
        "y": [rng.choice("abc") for _ in range(ROWS)],
    }
    table = pa.table(frame)
    if rng.random() < 0.5:
        # With what pandas notes about its columns, and with an index of names.
        table = pa.Table.from_pandas(table.to_pandas().set_index("k"))
    return table


def honest_file(rng: random.Random) -> tuple[str, bytes]:
    """Return the ending and the content of an undamaged file."""
    table, out = honest_table(rng), io.BytesIO()
    suffix = rng.choice(
        [".feather", ".arrow", ".feather", ".parquet", ".parquet", ".csv", ".tsv", ".csv.gz", ".parquet.gz"]
    )
    if suffix in {".feather", ".arrow"}:
        compression = rng.choice(["uncompressed", "uncompressed", "lz4", "zstd"])
        pa.feather.write_feather(table, out, compression=compression, chunksize=rng.choice([20, ROWS]))
    elif suffix.startswith(".parquet"):
        pa.parquet.write_table(
            table,
            out,
            compression=rng.choice(["none", "snappy", "zstd", "gzip"]),
            use_dictionary=rng.random() < 0.5,
            row_group_size=rng.choice([20, ROWS]),
            data_page_version=rng.choice(["1.0", "2.0"]),
        )
    else:
        separator = "\t" if suffix == ".tsv" else ","
        out.write(table.to_pandas().to_csv(index=False, sep=separator).encode())
    return suffix, out.getvalue()


def flip_bytes(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20, 100])):
        data[rng.randrange(len(data))] = rng.choice([rng.randrange(256), rng.randrange(128), rng.choice(data)])


def flip_a_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut_off(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def cut_out(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    del data[begin : begin + rng.choice([1, 4, 8, 64, 1000])]


def copy_over(data: bytearray, rng: random.Random) -> None:
    size = min(rng.choice([4, 8, 64, 500]), len(data))
    source, place = rng.randrange(len(data) - size + 1), rng.randrange(len(data) - size + 1)
    data[place : place + size] = data[source : source + size]


def repeat(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    part = bytes(data[begin : begin + rng.choice([1, 16, 300])])
    data[begin:begin] = part * rng.choice([1, 2, 50])


def change_a_number(data: bytearray, rng: random.Random) -> None:
    """Put an extreme number where a header or footer may have one: near the ends of the file."""
    size = rng.choice([2, 4, 8])
    number = rng.choice([0, 1, -1, 2**31 - 1, -(2**31), 2**30, 2**40, 2**62, -(2**63), rng.randrange(1000)])
    near = rng.randrange(min(len(data), 1500))
    place = rng.choice([near, len(data) - 1 - near, rng.randrange(len(data))]) // 4 * 4
    data[place : place + size] = (number % (1 << 8 * size)).to_bytes(size, "little")


def change_notes(data: bytearray, rng: random.Random) -> None:
    """Change the notes of pandas, which are JSON, without changing their length."""
    begin = data.find(b'{"index_columns"')
    if begin < 0:
        flip_bytes(data, rng)
        return
    for _ in range(rng.choice([1, 3, 10])):
        place = begin + rng.randrange(min(600, len(data) - begin))
        data[place] = rng.choice(b'{}[]",:0x \\\xff')


def append_garbage(data: bytearray, rng: random.Random) -> None:
    data += rng.randbytes(rng.choice([1, 8, 100]))


MUTATIONS: list[Callable[[bytearray, random.Random], None]] = [
    flip_bytes,
    flip_a_bit,
    cut_off,
    cut_out,
    copy_over,
    repeat,
    change_a_number,
    change_a_number,
    change_notes,
    append_garbage,
]


def mutated_file(folder: Path, rng: random.Random) -> Path:
    """Write a file, damaged in one way or two."""
    suffix, content = honest_file(rng)
    packed, damage_packed = suffix.endswith(".gz"), rng.random() < 0.3
    data = bytearray(gzip.compress(content, mtime=0) if packed and damage_packed else content)
    for _ in range(rng.choice([1, 1, 2])):
        if data:
            rng.choice(MUTATIONS)(data, rng)
    if packed and not damage_packed:
        data = bytearray(gzip.compress(data, mtime=0))
    path = folder / f"t{suffix}"
    path.write_bytes(data)
    return path


def arrow_types() -> list[pa.DataType]:
    """Return types of Arrow, simple and nested."""
    units = ("s", "ms", "us", "ns")
    simple = [
        pa.null(), pa.bool_(), pa.int8(), pa.uint8(), pa.int32(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(),
        pa.float64(), pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
        pa.binary_view(), pa.binary(4), pa.decimal128(20, 3), pa.decimal256(60, 5), pa.date32(), pa.date64(),
        pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.month_day_nano_interval(), pa.uuid(),
        *map(pa.timestamp, units), *map(pa.duration, units),
        *(pa.timestamp("us", zone) for zone in ("UTC", "+05:30", "Europe/Berlin", "Mars/Base", "")),
    ]  # fmt: skip
    nested = [
        pa.list_(pa.int64()), pa.large_list(pa.string()), pa.list_(pa.int8(), 2), pa.list_view(pa.int64()),
        pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int64()), pa.dictionary(pa.int8(), pa.date32()),
        pa.dictionary(pa.int32(), pa.list_(pa.int8())), pa.dictionary(pa.int32(), pa.int64()),
        pa.run_end_encoded(pa.int32(), pa.string()), pa.run_end_encoded(pa.int16(), pa.float64()),
        pa.dictionary(pa.int8(), pa.binary()), pa.dictionary(pa.int64(), pa.timestamp("s", "Mars/Base")),
    ]  # fmt: skip
    return simple + nested


def values_of(kind: pa.DataType, rng: random.Random, count: int) -> pa.Array:
    """Return an array of a type; numbers and dates are made of random bytes, so that every value is possible."""
    if pa.types.is_null(kind):
        array = pa.nulls(count)
    elif pa.types.is_dictionary(kind):
        indices = pa.array([rng.randrange(5) for _ in range(count)], kind.index_type)
        array = pa.DictionaryArray.from_arrays(indices, values_of(kind.value_type, rng, 5))
    elif pa.types.is_run_end_encoded(kind):
        ends = pa.array([count // 3, count], kind.run_end_type)
        array = pa.RunEndEncodedArray.from_arrays(ends, values_of(kind.value_type, rng, 2))
    elif isinstance(kind, pa.BaseExtensionType):
        array = pa.ExtensionArray.from_storage(kind, values_of(kind.storage_type, rng, count))
    elif pa.types.is_nested(kind):
        array = pa.array([nested_value(kind)] * count, kind)
    elif "string" in str(kind):
        texts = rng.choice([["a", "b"], ["", " "], ["\0", "\u202e"], ["1", "1e400"], ["12:30", "11:00"]])
        array = pa.array([rng.choice(texts) for _ in range(count)], kind)
    elif "binary" in str(kind) and "fixed" not in str(kind):
        array = pa.array([rng.choice([b"ab", b"cd", rng.choice([b"\xff", b"e"])]) for _ in range(count)], kind)
    else:
        width = 1 if pa.types.is_boolean(kind) else kind.bit_width // 8
        random_bytes = rng.choice([0, 1, width])
        content = b"".join(rng.randbytes(random_bytes) + bytes(width - random_bytes) for _ in range(count))
        array = pa.Array.from_buffers(kind, count, [None, pa.py_buffer(content)])
    return array


def nested_value(kind: pa.DataType) -> object:
    """Return a value of a nested type of `arrow_types`."""
    if pa.types.is_struct(kind):
        return {"a": 1}
    if pa.types.is_map(kind):
        return [("a", 1)]
    return ["a", "b"] if pa.types.is_string(kind.value_type) else [1, 2]


def odd_file(folder: Path, rng: random.Random) -> Path:
    """Write a whole file of an odd table."""
    maker = rng.choice([of_a_type, of_a_type, of_a_type, of_a_type, of_great_length, of_repeated_values, of_odd_text])
    return maker(folder, rng)


def of_a_type(folder: Path, rng: random.Random) -> Path:
    """Write a table with a column of some type, which is sometimes the target."""
    values = values_of(rng.choice(arrow_types()), rng, ROWS)
    if rng.random() < 0.4 and not isinstance(values, pa.ExtensionArray | pa.RunEndEncodedArray | pa.DictionaryArray):
        values = pa.concat_arrays([values.slice(0, ROWS - 1), pa.nulls(1, values.type)])
    table = pa.table({"x": list(range(ROWS)), "t": values, "y": ["a", "b"] * (ROWS // 2)})
    if rng.random() < 0.3:
        table = table.rename_columns(["x", "y", "t"])
    feather = folder / "t.feather"
    if rng.random() < 0.5:
        try:
            pa.parquet.write_table(table, folder / "t.parquet")
            return folder / "t.parquet"
        except pa.ArrowException:
            pass  # Parquet has not all types.
    with pa.ipc.new_file(feather, table.schema) as writer:
        writer.write_table(table)
    return feather


def of_great_length(folder: Path, rng: random.Random) -> Path:
    """Write a table with a long cell, name or label, or with many columns."""
    path = folder / "t.csv"
    cell = rng.choice(["1", "a ", "9-", "ab,"]) * rng.choice([1000, 500_000])
    rows = [[str(i), rng.choice("mn"), rng.choice("ab")] for i in range(ROWS)]
    where = rng.randrange(4)
    if where < 3:
        rows[rng.randrange(ROWS)][where] = f'"{cell}"'
    header = ["x", "t", "y"]
    if where == 3:
        extra = rng.choice([300, 2000])
        same = rng.random() < 0.5
        header += ["same" if same else f"c{i}" for i in range(extra)]
        rows = [[*row, *["1"] * extra] for row in rows]
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    return path


def of_repeated_values(folder: Path, rng: random.Random) -> Path:
    """Write a small file that opens to a large table."""
    rows = rng.choice([3000, 300_000])
    text = "x" * rng.choice([1000, 1_000_000])
    kind = rng.randrange(4)
    if kind == 0:
        path = folder / "t.csv.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(b"x,t,y\n")
            for _ in range(rng.choice([1, 40])):
                file.write(b"1,m,a\n2,n,b\n" * 500_000)
        return path
    if kind == 1:
        codes = pa.array(np.arange(rows) % 2, pa.int8())
        column: pa.Array = pa.DictionaryArray.from_arrays(codes, pa.array([text, "b"]))
    elif kind == 2:
        column = pa.RunEndEncodedArray.from_arrays(pa.array([rows // 2, rows], pa.int32()), pa.array([text, "b"]))
    else:
        rows = rng.choice([10**6, 10**8])
        column = pa.nulls(rows)
    table = pa.table({"t": column, "y": pa.nulls(rows) if kind == 3 else pa.array(np.arange(rows) % 2)})
    path = folder / rng.choice(["t.feather", "t.parquet"])
    if path.suffix == ".parquet" and kind == 1:
        pa.parquet.write_table(table, path)
        return path
    with pa.ipc.new_file(folder / "t.feather", table.schema) as writer:
        writer.write_table(table)
    return folder / "t.feather"


def of_odd_text(folder: Path, rng: random.Random) -> Path:
    """Write a text file of random pieces of what such files hold."""
    pieces = [*"xyt1aé=,,,;\t\r\0{", "\n", "\n", "\n", '"', "2024-01-01", "\ufeff", '{"a": 1}', "\u202e"]
    path = folder / rng.choice(["t.csv", "t.tsv", "t.txt"])
    text = rng.choice(["x,t,y\n", "", "y\n"]) + "".join(rng.choice(pieces) for _ in range(rng.choice([5, 100, 5000])))
    path.write_bytes(text.encode(rng.choice(["utf-8", "utf-8", "utf-16"])))
    return path


if __name__ == "__main__":
    sys.exit(
        fuzz_cases.main(case, allowed={"read", "error"}, count=COUNT, description=__doc__, seconds=60.0, memory=MEMORY)
    )
