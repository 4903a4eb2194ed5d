"""Locks that show whether a process is alive: the system releases them when the process ends, however it ends."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

# "held" by this process, "taken" by another process, or "unknown" where the system or the disk has no such locks.
LockState = Literal["held", "taken", "unknown"]
_LOOK_SECONDS = 0.05


@contextmanager
def lock(path: Path, seconds: float) -> Iterator[LockState]:
    """Hold the lock of a file or folder, if it is free.

    Parameters
    ----------
    path
        A file or folder that exists; its content is not touched.
    seconds
        How long to wait for another process to release it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with lock(folder, 0) as first, lock(folder, 0) as second:
    ...     first, second
    ('held', 'taken')
    """
    if sys.platform == "win32":
        yield "unknown"
        return
    try:
        # Some network disks can lock only files that are open for writing.
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except OSError:
        yield "unknown"
        return
    try:
        yield _take(descriptor, seconds)
    finally:
        # Closing the file releases the lock.
        os.close(descriptor)


def _take(descriptor: int, seconds: float) -> LockState:
    import fcntl  # noqa: PLC0415 - not there on Windows

    ends = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= ends:
                return "taken"
            time.sleep(_LOOK_SECONDS)
        except OSError:
            return "unknown"
        else:
            return "held"
