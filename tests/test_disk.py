import errno
import itertools
import os
import sys
import threading
from pathlib import Path

import pytest

from crossent.disk import cannot_write, naming, replaced_name, size_words, write_file
from crossent.errors import DiskError
from tests.conftest import size_limit

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, modes and limits are those of POSIX")


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_files_have_the_rights_that_the_process_gives_while_other_threads_write_too(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        done = threading.Event()
        rights: set[int] = set()

        def watch() -> None:
            for i in itertools.count():
                (tmp_path / f"other-{i}").touch()
                rights.add((tmp_path / f"other-{i}").stat().st_mode & 0o777)
                if done.is_set():
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(200):
            write_file(tmp_path / "a.json", b"1")
        done.set()
        watcher.join()
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640
    assert rights == {0o640}


def test_write_file_keeps_the_old_one_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")
    with pytest.raises(TypeError):
        write_file(path, "text, not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@posix
def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_file(path, b"old")
    with size_limit(1000), pytest.raises(DiskError, match=r"report\.html: File too large"):
        write_file(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"nowhere.report\.html: No such file"):
        write_file(tmp_path / "nowhere" / "report.html", b"")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Your share"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "Allow writing"),
        (errno.EIO, "Check the path"),
    ],
)
def test_each_failure_says_what_to_do(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(DiskError) as caught, naming(tmp_path / "a" / "report.html", 5_000_000):
        raise OSError(number, os.strerror(number))
    assert words in caught.value.fix
    assert str(tmp_path / "a" / "report.html") in caught.value.met
    room = "it needs 5.0 MB; free are " in caught.value.met
    assert room == (number == errno.ENOSPC)


def test_a_reader_that_has_seen_enough_is_no_fault_of_a_disk(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), naming(tmp_path):
        raise BrokenPipeError


def test_what_has_no_number_is_said_too(tmp_path: Path) -> None:
    assert "something odd" in cannot_write(tmp_path, OSError("something odd")).met


def test_temporary_names_are_known_again() -> None:
    assert replaced_name(".arrays-0a.safetensors.zz_91abc") == "arrays-0a.safetensors"
    for other in ("run.json", ".bashrc", ".a.tar.bz2", ".a.0123456", ".a.0123456789"):
        assert replaced_name(other) is None
    assert size_words(1_500_000) == "1.5 MB"
