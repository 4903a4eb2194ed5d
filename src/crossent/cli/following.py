"""Commands by several processes: torchrun starts the same command in each, one leads, and the others follow."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from crossent.models.catalogue import follow_fits
from crossent.train.processes import Processes, joined_processes


@contextmanager
def lead() -> Iterator[Processes]:
    """Give the processes that torchrun started, and dismiss those that follow at the end, whatever it is."""
    with joined_processes() as processes:
        try:
            yield processes
        finally:
            processes.dismiss()


def follow() -> None:
    """Take part in what the leader trains, until it dismisses this process."""
    with joined_processes() as processes:
        # Torchrun hands signals on to all processes, and it is the leader that decides what follows from them.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        follow_fits(processes)
