import os
import sys
import threading
from dataclasses import dataclass

import pytest

from crossent.lazy import lazy_property


@dataclass(frozen=True)
class Square:
    side: float
    began: threading.Event
    goes_on: threading.Event

    @lazy_property
    def area(self) -> float:
        """Of the square."""
        self.began.set()
        assert self.goes_on.wait(60)
        return self.side**2


def test_worked_out_once_for_each_instance() -> None:
    free = threading.Event()
    free.set()
    small, large = Square(2.0, threading.Event(), free), Square(3.0, threading.Event(), free)
    assert (small.area, large.area) == (4.0, 9.0)
    free.clear()
    assert (small.area, large.area) == (4.0, 9.0)
    assert Square.area.__doc__ == "Of the square."


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot fork")
def test_a_child_forked_while_another_thread_works_it_out_does_not_wait() -> None:
    slow = Square(2.0, threading.Event(), threading.Event())
    thread = threading.Thread(target=lambda: slow.area)
    thread.start()
    assert slow.began.wait(60)
    free = threading.Event()
    free.set()
    child = os.fork()
    if not child:
        os._exit(0 if Square(3.0, threading.Event(), free).area == 9.0 else 1)
    slow.goes_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
