import io
import struct

import numpy as np
import pyarrow as pa
import pytest

from crossent.data.ipc_sizes import unpacked_bytes


def content(table: pa.Table, compression: str | None, chunk: int = 100) -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return out.getvalue()


def table(rows: int) -> pa.Table:
    words = pa.array(["red", "blue", None] * (rows // 3)).dictionary_encode()
    return pa.table({"x": np.zeros(rows), "t": ["some words"] * rows, "c": words})


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("chunk", [300, 30_000])
def test_compressed_buffers_say_what_they_unpack_to(compression: str, chunk: int) -> None:
    data = table(30_000)
    buffers = sum(
        buffer.size
        for batch in data.to_batches(chunk)
        for column in batch.columns
        for buffer in column.buffers()
        if buffer is not None
    )
    said = unpacked_bytes(content(data, compression, chunk))
    # Buffers of slices are counted whole by Arrow, and small ones are not compressed.
    assert 30_000 * (8 + 4 + 10 + 4) * 0.99 < said < 30_000 * (8 + 4 + 10 + 4) * 1.1
    assert buffers >= 30_000 * 26


def test_without_compression_nothing_unpacks() -> None:
    assert unpacked_bytes(content(table(3000), None)) == 0


def test_a_dictionary_counts_too() -> None:
    data = pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([0] * 10), pa.array(["x" * 10**6]))})
    assert unpacked_bytes(content(data, "zstd")) >= 10**6


def test_damaged_files_end_in_one_kind_of_error() -> None:
    data = content(table(300), "zstd")
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 3000).tolist():
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256))
        try:
            assert unpacked_bytes(bytes(damaged)) >= 0
        except struct.error:
            continue
