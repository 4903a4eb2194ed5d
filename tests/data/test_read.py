import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pytest

from crossent.data.read import is_texts, read, read_table
from crossent.errors import DataError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


TABLE = "size,colour,label\n1,red,a\n2,blue,b\n3,red,a\n4,blue,b\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", TABLE.encode()),
        ("t.tsv", TABLE.replace(",", "\t").encode()),
        ("semicolons.csv", TABLE.replace(",", ";").encode()),
        ("t.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("bom.csv", b"\xef\xbb\xbf" + TABLE.encode()),
        ("utf16.csv", TABLE.encode("utf-16")),
        ("windows.csv", TABLE.replace("\n", "\r\n").encode()),
        ("blank_lines.csv", TABLE.replace("\n2", "\n\n2").encode()),
    ],
)
def test_every_text_form_gives_the_same_dataset(tmp_path: Path, name: str, content: bytes) -> None:
    dataset = read(write(tmp_path, name, content), "label")
    assert dataset.classes == ("a", "b")
    assert dataset.target.tolist() == [0, 1, 0, 1]
    assert dataset.frame["size"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert dataset.frame["colour"].tolist() == ["red", "blue", "red", "blue"]


def test_binary_files_and_frames_give_the_same_dataset(tmp_path: Path) -> None:
    frame = pd.DataFrame({"size": [1, 2, 3, 4], "colour": ["red", "blue"] * 2, "label": ["a", "b"] * 2})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_feather(tmp_path / "t.feather")
    (tmp_path / "t.parquet.gz").write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    sources = [
        tmp_path / "t.parquet",
        tmp_path / "t.feather",
        tmp_path / "t.parquet.gz",
        frame,
        polars.DataFrame(frame),
    ]
    for source in sources:
        dataset = read(source, "label")
        assert dataset.target.tolist() == [0, 1, 0, 1]
        assert dataset.frame["size"].tolist() == [1.0, 2.0, 3.0, 4.0]
        assert [column.kind for column in dataset.columns] == ["number", "category"]


def test_array_columns_are_named_by_position() -> None:
    dataset = read(np.array([[1.0, 0], [2.0, 1], [5.0, 0]]), "column_1")
    assert dataset.classes == (0, 1)
    assert list(dataset.frame.columns) == ["column_0"]


def test_bundled_data_are_read_whole(hpc: pd.DataFrame) -> None:
    dataset = read(hpc, "class")
    assert dict(zip(dataset.classes, dataset.class_counts.tolist(), strict=True)) == {
        "F": 1347,
        "L": 259,
        "M": 514,
        "VF": 2211,
    }
    kinds = {column.name: column.kind for column in dataset.columns}
    assert kinds["protocol"] == kinds["day"] == "category"
    assert {kinds[name] for name in ("compounds", "input_fields", "iterations", "num_pending", "hour")} == {"number"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", "", ["empty.csv", "empty"]),
        ("header.csv", "a,b\n", ["header.csv", "rows"]),
        ("twice.csv", "a,label,a\n1,x,2\n", ["'a'", "1 and 3"]),
        ("ragged.csv", "a,b,label\n1,2,x\n3,y\n4,5,z\n", ["line 3", "has 2", "3,y"]),
        ("quoted.csv", 'a,b,label\n"1\n1",2,x\n3,y\n', ["line 4", "has 2"]),
        ("latin.csv", "a,label\n1,x\n2,\xe9\n".encode("latin-1"), ["line 3", "0xe9", "--encoding"]),
        ("unknown.xlsx", "a", ["unknown.xlsx", "Parquet"]),
        ("broken.csv.gz", "not gzip", ["broken.csv.gz", "gzip"]),
        ("broken.parquet", "no parquet", ["broken.parquet", "parquet"]),
    ],
)
def test_bad_file_gets_one_error_that_says_where(
    tmp_path: Path, name: str, content: str | bytes, words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path, name, content))
    for word in words:
        assert word in str(caught.value)


def test_another_encoding_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "latin.csv", "a,label\n1,x\n2,\xe9\n".encode("latin-1"))
    assert read(path, "label", encoding="latin-1").classes == ("x", "é")
    with pytest.raises(DataError, match="'klingon'"):
        read(path, "label", encoding="klingon")


def test_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "jobs.csv", TABLE)
    with pytest.raises(DataError, match=r"jobs\.csv"):
        read(tmp_path / "jobs.parquet", "label")


def test_a_frame_with_a_column_called_name_is_a_frame() -> None:
    frame = pd.DataFrame({"name": ["Ann", "Bob"] * 5, "size": range(10), "y": ["a", "b"] * 5})
    assert read(frame, "y").source == "a DataFrame"
    with pytest.raises(DataError, match="a DataFrame has no column 'z'"):
        read(frame, "z")


def test_missing_target_suggests_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'label'"):
        read(write(tmp_path, "t.csv", TABLE), "lable")


def test_rows_without_label_are_left_out_and_said(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, "t.csv", TABLE + "5,red,\n"), "label")
    assert len(dataset) == 4
    assert any("1 rows have no value in 'label'" in note for note in dataset.notes)


def test_na_is_a_class_but_a_missing_number(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, "t.csv", "size,label\n1,NA\nNA,ZA\n3,NA\n4,ZA\n"), "label")
    assert dataset.classes == ("NA", "ZA")
    assert np.isnan(dataset.frame["size"].iloc[1])


def test_class_with_one_row_is_kept_and_said(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, "t.csv", TABLE + "5,red,c\n"), "label")
    assert dataset.classes == ("a", "b", "c")
    assert any("only one row are" in note for note in dataset.notes)


def test_groups_and_time_leave_the_features() -> None:
    frame = pd.DataFrame(
        {"x": [1.0, 2, 3], "who": ["p", "q", "p"], "when": ["2024-01-03", "2024-01-01", "2024-01-02"], "y": [0, 1, 0]}
    )
    dataset = read(frame, "y", groups="who", time="when")
    assert list(dataset.frame.columns) == ["x"]
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1, 0]
    assert dataset.time is not None
    assert np.argsort(dataset.time).tolist() == [1, 2, 0]


def test_rows_without_a_group_are_told_and_words_for_missing_too() -> None:
    frame = pd.DataFrame({"x": [1.0, 2, 3, 4, 5], "who": ["p", None, "", "NA", "NA"], "y": [0, 1, 0, 1, 0]})
    dataset = read(frame, "y", groups="who")
    assert dataset.groups is not None
    assert len(set(dataset.groups.tolist())) == 4
    assert dataset.groups[3] == dataset.groups[4]
    assert any(note.startswith("2 rows have no value in 'who'; each is a group") for note in dataset.notes)
    assert any(note.startswith("'NA' in 'who' is the name of a group") for note in dataset.notes)


@pytest.mark.parametrize("who", [[3, 3.0, "3", " 3"], [3.0, 3.0, 3.0, 3.0], ["p", "p ", " p", "p"]])
def test_one_group_however_it_is_written(who: list[object]) -> None:
    frame = pd.DataFrame({"x": [1.0, 2, 3, 4], "who": pd.Series(who, dtype=object), "y": [0, 1, 0, 1]})
    dataset = read(frame, "y", groups="who")
    assert dataset.groups is not None
    assert len(set(dataset.groups.tolist())) == 1


def test_time_column_needs_a_moment_in_every_row() -> None:
    frame = pd.DataFrame({"x": [1.0, 2, 3], "when": ["2024-01-03", None, "2024-01-02"], "y": [0, 1, 0]})
    with pytest.raises(DataError, match=r"'when' has 1 values missing"):
        read(frame, "y", time="when")


@pytest.mark.parametrize(
    "when", [list(range(100)), [f"{1 + i % 28:02}.{1 + i // 28:02}.2024" for i in range(100)], np.arange(100) * 1.5]
)
def test_time_may_be_row_numbers_local_dates_or_numbers(when: list[object]) -> None:
    frame = pd.DataFrame({"x": np.arange(100) % 7, "when": when, "y": np.arange(100) % 2})
    moments = read(frame, "y", time="when").time
    assert moments is not None
    assert (np.diff(moments) > 0).all()


def test_time_must_be_a_moment() -> None:
    frame = pd.DataFrame({"x": np.arange(4), "when": list("abcd"), "y": [0, 1, 0, 1]})
    with pytest.raises(DataError, match="'when' must hold numbers"):
        read(frame, "y", time="when")


def test_array_of_one_dimension_is_refused() -> None:
    with pytest.raises(DataError, match="two dimensions"):
        read_table(np.zeros(3))


def test_a_cell_may_hold_a_whole_book(tmp_path: Path) -> None:
    book = "a line of it, with a comma\n" * 400_000
    pd.DataFrame({"text": [book, "short", "short"], "label": ["a", "b", "b"]}).to_csv(
        tmp_path / "books.csv", index=False
    )
    frame = read_table(tmp_path / "books.csv")
    assert frame["text"].str.len().tolist() == [len(book), 5, 5]


@pytest.mark.parametrize(
    "source", [["one", None, "two"], np.array(["one", "", "two"]), pd.Series(["one", None, "two"])]
)
def test_strings_alone_are_a_column_of_text(source: Any) -> None:
    frame = read_table(source)
    assert list(frame.columns) == ["text"]
    assert frame["text"].fillna("").tolist() == ["one", "", "two"]


def test_strings_among_other_things_are_not_texts() -> None:
    assert not is_texts(["one", 2])
    assert not is_texts(np.array([["one", "two"]]))
    assert not is_texts([])
    assert not is_texts("one")
