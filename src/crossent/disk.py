"""Files that are written whole or not at all, and errors that say which file could not be written, and what to do."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from crossent.errors import DiskError

_IN_THE_WAY = "Something else stands in its place: move that away first."
_FIX = {
    errno.ENOSPC: "Make room on this disk, or choose a folder on another one.",
    errno.EDQUOT: "Your share of this disk is used up: remove files of yours, or choose a folder on another disk.",
    errno.EROFS: "This disk is read-only: choose a folder on another one.",
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY), _IN_THE_WAY),
    errno.EACCES: "Allow writing there, or choose another folder.",
    errno.EPERM: "Allow writing there, or choose another folder.",
}
_RULE = "Files must be readable and writable."
_OTHER_FIX = "Check the path and the disk, or choose another folder."
# What errors call the terminal, or the file that its output goes to.
SCREEN = Path("standard output")
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-z_]{8}\Z")


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step: under a temporary name, flushed to disk, renamed; a crash leaves the old file whole.

    Raises
    ------
    DiskError
        If it cannot be written; the old file is then whole, and nothing else is left.
    """
    with naming(path, len(data)), replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to; it replaces the file at `path` at the end, if nothing went wrong."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def replaced_name(temporary: str) -> str | None:
    """Return the name of the file that a temporary file was written for; None for names that are not temporary.

    Examples
    --------
    >>> replaced_name(".run.json.0123abcd"), replaced_name(".run.json")
    ('run.json', None)
    """
    match = _TEMPORARY.match(temporary)
    return match["name"] if match else None


@contextmanager
def naming(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn a failure to write into an error that names the file.

    Parameters
    ----------
    path
        What is written.
    needed
        Bytes of it, where they are known.

    Raises
    ------
    DiskError
        In place of an OSError.

    Examples
    --------
    >>> with naming(Path("/proc/report.html")):
    ...     raise OSError(errno.EROFS, "Read-only file system")
    Traceback (most recent call last):
    crossent.errors.DiskError: Files must be readable and writable. /proc/report.html: Read-only file system. This ...
    """
    try:
        yield
    except BrokenPipeError:
        # The program that read the output has ended; the disk is not at fault.
        raise
    except OSError as error:
        raise cannot_write(path, error, needed) from error


def cannot_write(path: Path, error: OSError, needed: int | None = None) -> DiskError:
    """Return the error that says why a file cannot be written, and what to do.

    Parameters
    ----------
    path
        What was to be written.
    error
        What the system said.
    needed
        Bytes of the file, where they are known.
    """
    met = f"{path}: {error.strerror or error}"
    if error.errno == errno.ENOSPC:
        sizes = {"it needs": needed, "free are": _free(path)}
        met = "; ".join([met, *(f"{words} {size_words(size)}" for words, size in sizes.items() if size is not None)])
    return DiskError(_RULE, f"{met}.", _FIX.get(error.errno or 0, _OTHER_FIX))


def without_name(error: OSError) -> DiskError:
    """Return the error for a failure outside of `naming`: then the terminal, or the file of its output, failed."""
    return cannot_write(Path(error.filename or SCREEN), error)


def size_words(size: int) -> str:
    """Return a number of bytes for people.

    Examples
    --------
    >>> size_words(900), size_words(65_000), size_words(3_200_000_000)
    ('900 bytes', '65 kB', '3.2 GB')
    """
    if size < 1000:
        return f"{size} bytes"
    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1_000_000_000 else f"{size / 1e9:.1f} GB"


def _free(path: Path) -> int | None:
    """Return the free bytes on the disk of a path; None where the system does not say."""
    for folder in path.absolute().parents:
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def _sync_folder(path: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
