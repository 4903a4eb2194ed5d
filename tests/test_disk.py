import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from crossent.disk import cannot_write, naming, read_file, replaced_name, size_words, write_file
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
def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_file(tmp_path / "mine", b"")
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


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


@posix
def test_links_pipes_and_long_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(ValueError, match="5 bytes, and at most 4"):
        read_file(path, 4)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        read_file(tmp_path / "link", 5)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        read_file(tmp_path / "pipe", 5)
    with pytest.raises((ValueError, OSError)):
        read_file(tmp_path, 5)


def test_temporary_names_are_known_again() -> None:
    assert replaced_name(".arrays-0a.safetensors.zz_91abc") == "arrays-0a.safetensors"
    for other in ("run.json", ".bashrc", ".a.tar.bz2", ".a.0123456", ".a.0123456789"):
        assert replaced_name(other) is None
    assert size_words(1_500_000) == "1.5 MB"
