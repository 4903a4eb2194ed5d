"""Limits on how much a file may hold once it is opened, so that no file takes more memory than there is."""

import gzip
import io
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from crossent.errors import DataError, SettingError

# Sets the limit itself, in bytes: 20GB, 512MB, 1000000.
VARIABLE = "CROSSENT_MAX_BYTES"
# A compressed file may unpack to this many times its size, and a small one to this many bytes in any case.
EXPANSION, SMALL_BYTES = 100, 128 << 20
# For a while the content is in memory at least twice: as bytes of the file, and as a table.
SHARE_OF_MEMORY = 0.5
# Each column of a table takes time and memory, however short it is.
MOST_COLUMNS = 1_000_000

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_CHUNK = 1 << 20


def most_bytes(size: int) -> int:
    """Return how many bytes a file of `size` bytes may hold once it is opened.

    The limit is `EXPANSION` times the size, at least `SMALL_BYTES`, and at most half of the free memory; the
    environment variable ``CROSSENT_MAX_BYTES`` replaces all of it.

    Raises
    ------
    SettingError
        If ``CROSSENT_MAX_BYTES`` is not a number of bytes.

    Examples
    --------
    >>> most_bytes(1000) <= SMALL_BYTES
    True
    """
    stated = os.environ.get(VARIABLE, "")
    if stated:
        return parse_bytes(stated)
    return min(max(SMALL_BYTES, EXPANSION * size), int(SHARE_OF_MEMORY * _free_memory()))


def parse_bytes(text: str) -> int:
    """Return the number of bytes that a text such as ``20GB`` means.

    Raises
    ------
    SettingError
        If it is not such a text.

    Examples
    --------
    >>> parse_bytes("1.5 GB")
    1500000000
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([KMGT]?B|)\s*", text.upper())
    if match is None:
        raise SettingError(f"{VARIABLE} is a number of bytes.", f"It is {text[:40]!r}.", "Write it like 20GB or 500MB.")
    return int(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True)
class Limit:
    """The limit on how much a file may hold once it is opened.

    Attributes
    ----------
    path
        The file, for messages.
    size
        The number of bytes that it has on the disk.
    most
        Bytes that it may hold, by `most_bytes` at the moment when reading began.
    """

    path: Path
    size: int
    most: int

    def check(self, opened: int) -> None:
        """Check that the file does not hold more than it may.

        Raises
        ------
        DataError
            If it holds more.
        """
        if opened > self.most:
            raise DataError(
                f"A file of {_shown(self.size)} may hold {_shown(self.most)} once it is opened: {EXPANSION} times its "
                f"size, at least {_shown(SMALL_BYTES)} and at most half of the free memory, or what {VARIABLE} says.",
                f"{self.path} holds more than that.",
                f"If this is right, raise the limit (for example {VARIABLE}=20GB), or split the file.",
            )


def limit_of(path: Path) -> Limit:
    """Return the limit of a file.

    Raises
    ------
    SettingError
        If ``CROSSENT_MAX_BYTES`` is not a number of bytes.
    """
    size = path.stat().st_size
    return Limit(path, size, most_bytes(size))


def check_column_count(source: str, count: int) -> None:
    """Check that a table does not have too many columns.

    Raises
    ------
    DataError
        If it has more than `MOST_COLUMNS`.
    """
    if count > MOST_COLUMNS:
        raise DataError(
            f"A table has at most {MOST_COLUMNS:,} columns.",
            f"{source} has {count:,}.",
            "Check how it was made: a line break is missing, or rows and columns are swapped.",
        )


def read_opened(path: Path) -> bytes:
    """Read a whole file, and unpack it, up to the limit, if its name ends in ``.gz``.

    Raises
    ------
    DataError
        If it holds more than `most_bytes`, or is not gzip data although its name says so.
    """
    limit = limit_of(path)
    if path.suffix.lower() != ".gz":
        limit.check(limit.size)
        return path.read_bytes()
    opened = io.BytesIO()
    try:
        with gzip.open(path) as file:
            while chunk := file.read(_CHUNK):
                opened.write(chunk)
                limit.check(opened.tell())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            "A .gz file must be gzip data, whole and undamaged.",
            f"{path} is not gzip data ({error}).",
            "Copy the file again, or drop the .gz from its name if it is not compressed.",
        ) from error
    return opened.getvalue()


def _shown(size: int) -> str:
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.3g} {unit}"
    return f"{size} bytes"


def _free_memory() -> int:
    """Return the number of bytes of free memory, also within the limit of a container."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 62
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        match = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        free = int(match[1]) * 1024 if match else free
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (most := limit.read_text().strip()).isdigit():
        free = min(free, max(int(most) - int(used.read_text()), 0))
    return free
