"""Chooses the number of threads of a step: several if that is quicker than one, which is tried out and not guessed.

The products of small networks are distributed, computed and waited for within tens of microseconds. On an idle machine
several threads are much quicker. If another program keeps a processor busy, all threads wait for the one that is held
up, and a step can take twenty times as long as on one thread. The results have the same bits, so the number may change
from step to step.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import final

import torch

# Number of steps of the first trial on one thread.
TRIAL = 8
# Number of steps by which several threads are judged; after an epoch is drawn, a few are slow until all processors are
# awake. They are held up if their sum is this many times the sum of the same number of steps on one thread.
JUDGED, HELD_UP = 32, 2
# Number of steps on one thread after several threads were slower; it doubles each time, unless several threads were
# quicker for as long.
SHORTEST_PAUSE, LONGEST_PAUSE = 100, 10_000


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and at the end the same number as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@final
class Threads:
    """The threads of the steps of a training, which runs within `one_thread`.

    Parameters
    ----------
    several
        Number of threads to try; 1 means that nothing is tried.
    clock
        Gives the time in seconds.

    Examples
    --------
    >>> threads = Threads(2)
    >>> with one_thread():
    ...     for step in range(TRIAL):
    ...         with threads.of_step():
    ...             pass
    ...     torch.get_num_threads()
    2
    """

    def __init__(self, several: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._several, self._clock = several, clock
        self._count = 1
        # Number of steps since the number of threads changed, and the seconds of the last ones.
        self._steps, self._seconds = 0, deque[float](maxlen=JUDGED)
        self._seconds_on_one, self._pause = 0.0, TRIAL

    @contextmanager
    def of_step(self) -> Iterator[None]:
        """Learn from the time that a step takes, and choose the number for the next one."""
        began = self._clock()
        yield
        if self._several == 1:
            return
        self._seconds.append(self._clock() - began)
        self._steps += 1
        if self._count == 1 and self._steps >= self._pause:
            self._seconds_on_one = median(self._seconds)
            self._take(self._several)
        elif self._count > 1 and self._is_slow():
            longer = 2 * self._pause if self._steps < self._pause else 0
            self._pause = min(max(longer, SHORTEST_PAUSE), LONGEST_PAUSE)
            self._take(1)

    def _is_slow(self) -> bool:
        """Say whether most steps are slower than on one thread, or some are held up for long."""
        if sum(self._seconds) > HELD_UP * JUDGED * self._seconds_on_one:
            return True
        return len(self._seconds) == JUDGED and median(self._seconds) > self._seconds_on_one

    def _take(self, count: int) -> None:
        self._count, self._steps = count, 0
        self._seconds.clear()
        torch.set_num_threads(count)
