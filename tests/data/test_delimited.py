import time
from pathlib import Path

import pytest

from crossent.data.delimited import read_delimited
from crossent.data.read import read, read_table
from crossent.errors import DataError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a;b\n1;2\n"),
        ("t.txt", b"a,b\n1,2\n"),
        ("t.tsv", b"a\tb\n1\t2\n"),
        ("t.csv", b"\xff\xfea\0,\0b\0\n\0"),
    ],
)
def test_separators_are_those_of_the_header(name: str, content: bytes) -> None:
    assert read_delimited(Path(name), Path(name).suffix, content, "utf-8").column_names == ["a", "b"]


def test_every_column_is_text_and_nameless_ones_get_a_name() -> None:
    table = read_delimited(Path("t.csv"), ".csv", b"a,,b\n1,2.50,\n", "utf-8")
    assert table.to_pydict() == {"a": ["1"], "unnamed_2": ["2.50"], "b": [None]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1\n", "line 2, has 1"),
        (b"a,b\n1\n2\n3,4,5\n", r"line 2, has 1 \(like 2 more lines\)"),
        (b'a,b\n"' + b"x" * 200_000 + b'",1\n2\n', "t.csv"),
        (b'a,b\n"1,2\n3\n', "t.csv"),
        (b'"a,b\n', "t.csv"),
    ],
)
def test_ragged_files_are_one_short_error(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_delimited(Path("t.csv"), ".csv", content, "utf-8")
    assert len(str(caught.value)) < 600


def test_a_header_of_millions_of_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"," * 1_500_000 + b"\n")
    with pytest.raises(DataError, match="1,500,001"):
        read_table(tmp_path / "t.csv")


@pytest.mark.slow
def test_many_columns_take_seconds(tmp_path: Path) -> None:
    width = 20_000
    rows = [[f"c{i}" for i in range(width)], *([str(i * j % 7) for i in range(width)] for j in range(1, 13))]
    text = "\n".join(",".join([*row, "y" if j == 0 else "ab"[j % 2]]) for j, row in enumerate(rows))
    (tmp_path / "t.csv").write_text(text + "\n")
    begin = time.process_time()
    assert len(read(tmp_path / "t.csv", "y").columns) == width
    assert time.process_time() - begin < 60
