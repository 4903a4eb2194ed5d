"""Threads: how many processors there are, pools for NumPy and the kernels, and what a forked child may use.

A child of `os.fork` has only the thread that called it. OpenMP, which torch, LightGBM and scikit-learn use, does not
know this: if it had several threads in the parent, the child waits for them forever. So a forked child gets one thread
of OpenMP. Pools of Python threads, which live no longer than a call, and NumPy's BLAS, which starts its threads again,
keep their numbers.
"""

import contextlib
import functools
import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

from threadpoolctl import ThreadpoolController

CONTROL_GROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def open_threads() -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Yield a pool of threads and their number; BLAS has one thread meanwhile, as more would wait by spinning."""
    threads = processors()
    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        yield pool, threads


def processors(control_groups: Path = CONTROL_GROUPS) -> int:
    """Return how many processors this process may use, by its affinity and by the limit of its container.

    Parameters
    ----------
    control_groups
        Folder in which Linux shows the limit.

    Examples
    --------
    >>> 1 <= processors() <= (os.cpu_count() or 1)
    True
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.ceil(min(_limit(control_groups), allowed))))


def _limit(control_groups: Path) -> float:
    """Return the seconds of processor time that the process may use in a second; infinite if there is no limit."""
    # Version 2 of the control groups writes the limit in one file, version 1 in two.
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            quota, period = " ".join((control_groups / name).read_text() for name in names).split()
            if quota != "max" and int(quota) > 0:
                return int(quota) / int(period)
    return math.inf


@functools.cache
def _blas() -> ThreadpoolController:
    """Return the switch of the threads of BLAS; finding it in each fit would take as long as a few passes."""
    return ThreadpoolController()


@final
class _OneThreadInForks:
    """Limits a forked child to one thread of OpenMP."""

    def __init__(self) -> None:
        self._openmp: ThreadpoolController | None = None

    def before(self) -> None:
        # The parent searches for the libraries: there, another thread that is loading a library will release the
        # loader's lock.
        self._openmp = ThreadpoolController().select(user_api="openmp")

    def in_child(self) -> None:
        if self._openmp is not None:
            self._openmp.limit(limits=1)
        # Torch has a separate number of threads for MKL and for threads that the child starts.
        set_num_threads = getattr(sys.modules.get("torch"), "set_num_threads", None)
        if set_num_threads is not None:
            set_num_threads(1)


if sys.platform != "win32":
    _one_thread = _OneThreadInForks()
    os.register_at_fork(before=_one_thread.before, after_in_child=_one_thread.in_child)
