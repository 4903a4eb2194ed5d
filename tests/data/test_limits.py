import contextlib
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossent.data import limits
from crossent.data.limits import EXPANSION, SMALL_BYTES, check_column_count, most_bytes, parse_bytes, read_opened
from crossent.errors import DataError, SettingError


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 mb", 1_500_000), ("1000", 1000), ("7B", 7), (" 2TB ", 2 * 10**12)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1e9", "20 gigabytes", "nan", "1" * 40])
def test_other_sizes_are_an_error(text: str) -> None:
    with pytest.raises(SettingError, match="CROSSENT_MAX_BYTES"):
        parse_bytes(text)


def test_the_limit_follows_size_memory_and_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSENT_MAX_BYTES", raising=False)
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    assert most_bytes(10) == SMALL_BYTES
    assert most_bytes(2 * 10**6) == EXPANSION * 2 * 10**6
    assert most_bytes(10**15) <= pages * page // 2
    monkeypatch.setenv("CROSSENT_MAX_BYTES", "3KB")
    assert most_bytes(10**15) == 3000


def test_gzip_members_are_read_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n") + gzip.compress(b"1,2\n") + b"\0\0")
    assert read_opened(path) == b"a,b\n1,2\n"


WHOLE = gzip.compress(b"a,b\n1,2\n" * 100, mtime=0)


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:-1],
        WHOLE[:12],
        WHOLE[:3],
        WHOLE + b"garbage",
        WHOLE[:20] + bytes([WHOLE[20] ^ 255]) + WHOLE[21:],
        WHOLE[:-5] + b"\xff" + WHOLE[-4:],
        b"PK\3\4",
    ],
)
def test_damaged_gzip_is_one_error_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"t\.csv\.gz is not"):
        read_opened(path)


def test_every_damaged_byte_of_gzip_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    for place in range(len(WHOLE)):
        path.write_bytes(WHOLE[:place] + bytes([WHOLE[place] ^ 0x55]) + WHOLE[place + 1 :])
        with contextlib.suppress(DataError):
            assert read_opened(path) == b"a,b\n1,2\n" * 100


def test_what_opens_to_more_than_it_may_is_refused_before_it_is_there(tmp_path: Path) -> None:
    """In a process that may not have the memory of the whole content, so that reading it first would fail."""
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(700):
            file.write(b"0" * (1 << 20))
    code = """
import resource, sys
from crossent.data.read import read_table
from crossent.errors import DataError
most = int(open("/proc/self/statm").read().split()[0]) * 4096 + (500 << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    read_table(sys.argv[1])
except DataError as error:
    print(error)
"""
    environment = {**os.environ, "CROSSENT_MAX_BYTES": "100MB"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert "may hold 100 MB" in done.stdout
    assert "CROSSENT_MAX_BYTES=20GB" in done.stdout


def test_plain_files_have_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv("CROSSENT_MAX_BYTES", "7")
    with pytest.raises(DataError, match=r"t\.csv holds more"):
        read_opened(tmp_path / "t.csv")
    monkeypatch.setenv("CROSSENT_MAX_BYTES", "8")
    assert read_opened(tmp_path / "t.csv") == b"a,b\n1,2\n"


def test_columns_are_counted() -> None:
    check_column_count("t.csv", limits.MOST_COLUMNS)
    with pytest.raises(DataError, match=r"t\.csv has 1,000,001"):
        check_column_count("t.csv", limits.MOST_COLUMNS + 1)
