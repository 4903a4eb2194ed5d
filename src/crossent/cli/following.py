"""Commands of several processes: torchrun starts the same command in each; the first one leads, the others follow."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from crossent.models.catalogue import follow_fits
from crossent.train.processes import Processes, joined_processes


@contextmanager
def lead() -> Iterator[Processes]:
    """Yield the processes that torchrun started, and dismiss the followers at the end, also after an error."""
    with joined_processes() as processes:
        try:
            yield processes
        finally:
            processes.dismiss()


def follow() -> None:
    """Take part in what the leader trains, until it dismisses this process."""
    with joined_processes() as processes:
        # Torchrun passes signals on to all processes; only the leader decides what to do about them.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        follow_fits(processes)
