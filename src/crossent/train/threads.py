"""How many threads a step takes: several where that is quicker than one, and it is tried out rather than guessed.

The products of small networks are shared out, computed and waited for within tens of microseconds. On an idle machine
several threads are much quicker; where another program keeps a processor busy, all wait for the thread it holds up,
and a step can take twenty times as long as on one thread. The results are the same bits, so that the number may change
from step to step.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import final

import torch

# Steps of the first trial on one thread.
TRIAL = 8
# Steps that several threads are judged by: after an epoch is drawn, a few are slow until all processors are awake. They
# are held up if their sum is this many times that of as many steps on one thread.
JUDGED, HELD_UP = 32, 2
# Steps on one thread after several were slower; twice as many each time, unless several were quicker for as long.
SHORTEST_PAUSE, LONGEST_PAUSE = 100, 10_000


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and at the end as many as before."""
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
        How many to try; 1 leaves it at one.
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
        # Of the steps since the number changed: how many there were, and the seconds of the last ones.
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
