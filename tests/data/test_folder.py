import os
from pathlib import Path

import pytest

from crossent.data.folder import RUN_FILE, read_folder
from crossent.data.read import read, read_table
from crossent.errors import DataError
from crossent.run_folder import DESCRIPTION


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_class_for_each_folder_of_files_and_each_file_of_lines(tmp_path: Path) -> None:
    files = {
        "good/1.txt": "schön\r\nund gut".encode(),
        "good/2": b"nice",
        "good/.hidden": b"\xff",
        "bad.txt": b"poor\n\n  \ndull\n",
        "readme.md": b"about these files",
    }
    frame = read_folder(write(tmp_path, files), "utf-8")
    assert frame.to_numpy().tolist() == [
        ["poor", "bad"],
        ["dull", "bad"],
        ["schön\nund gut", "good"],
        ["nice", "good"],
    ]
    assert read_table(tmp_path).equals(frame)


def test_a_folder_is_read_as_a_table_with_labels(tmp_path: Path) -> None:
    lines = "\n".join(f"a longer text of more than five words, number {i}" for i in range(5)).encode()
    dataset = read(write(tmp_path, {"good.txt": lines, "bad.txt": lines}), "class")
    assert dataset.classes == ("bad", "good")
    assert [column.kind for column in dataset.columns] == ["text"]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", "grün".encode("latin-1")], ids=["picture", "latin-1"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"good.odd, line 1, has the byte 0x.*Name its encoding"):
        read_folder(write(tmp_path, {"good/fine": b"fine", "good/odd": data}), "utf-8")


def test_zero_bytes_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"good.odd, line 2, has a zero byte"):
        read_folder(write(tmp_path, {"good/odd": b"fine\n\0"}), "utf-8")


def test_a_folder_without_texts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds neither"):
        read_folder(write(tmp_path, {"table.csv": b"a,b\n1,2\n"}), "utf-8")


def test_names_of_classes_are_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"b\xff")
    folder.mkdir()
    (folder / "1").write_text("words")
    with pytest.raises(DataError, match="Names of classes"):
        read_folder(tmp_path, "utf-8")


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(DataError, match="holds neither"):
        read_folder(tmp_path, "utf-8")


def test_files_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSENT_MAX_BYTES", "3")
    with pytest.raises(DataError, match=r"bad\.txt holds more"):
        read_folder(write(tmp_path, {"bad.txt": b"poor"}), "utf-8")


def test_a_run_is_no_class_and_a_note_says_so(tmp_path: Path) -> None:
    for label in ("angry", "happy"):
        (tmp_path / label).mkdir()
        for i in range(3):
            (tmp_path / label / f"{i}.txt").write_text(f"{label} {i}")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "run.json").write_text("{}")
    (tmp_path / "jobs" / "report.html").write_text("a report")
    (tmp_path / "runs" / "jobs").mkdir(parents=True)
    (tmp_path / "runs" / "jobs" / "run.json").write_text("{}")
    dataset = read(str(tmp_path), "class")
    assert dataset.classes == ("angry", "happy")
    assert any("'jobs'" in note and "left out" in note for note in dataset.notes)
    assert RUN_FILE == DESCRIPTION
