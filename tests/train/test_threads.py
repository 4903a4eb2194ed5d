import time
from collections.abc import Iterator
from itertools import islice

import pytest
import torch

from crossent.train.threads import SHORTEST_PAUSE, STEPS, Threads, one_thread


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def steps(threads: Threads, seconds: dict[int, float]) -> Iterator[int]:
    """Give the number of threads of every step; steps take as long as is given by that number."""
    while True:
        with threads.of_step():
            count = torch.get_num_threads()
            time.sleep(seconds[count])
        yield count


def counts(threads: Threads, seconds: dict[int, float], number: int) -> list[int]:
    with one_thread():
        return list(islice(steps(threads, seconds), number))


def test_takes_several_after_a_trial_where_they_are_quicker() -> None:
    found = counts(Threads(3), {1: 3e-3, 3: 1e-4}, STEPS + 100)
    assert found == [1] * STEPS + [3] * 100


def test_goes_back_to_one_after_one_slow_step_and_tries_again_later_and_later() -> None:
    found = counts(Threads(3), {1: 1e-4, 3: 3e-2}, STEPS + 3 * SHORTEST_PAUSE + 3)
    slow = [step for step, count in enumerate(found) if count == 3]
    assert slow == [STEPS, STEPS + 1 + SHORTEST_PAUSE, STEPS + 2 + 3 * SHORTEST_PAUSE]


def test_one_step_that_is_a_little_slow_changes_nothing() -> None:
    threads = Threads(3)
    with one_thread():
        assert list(islice(steps(threads, {1: 3e-3, 3: 1e-4}), STEPS + 3))[-1] == 3
        assert list(islice(steps(threads, {3: 8e-3}), 1)) == [3]
        assert list(islice(steps(threads, {3: 1e-4}), 20)) == [3] * 20


def test_goes_back_to_one_when_others_come_in_the_way() -> None:
    threads = Threads(3)
    with one_thread():
        assert list(islice(steps(threads, {1: 3e-3, 3: 1e-4}), STEPS + 50))[-1] == 3
        held_up = list(islice(steps(threads, {1: 1e-4, 3: 5e-2}), 10))
    assert held_up == [3] + [1] * 9


def test_one_stays_one() -> None:
    assert counts(Threads(1), {1: 0.0}, 200) == [1] * 200


def test_one_thread_gives_the_others_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(ZeroDivisionError):
            fail_on_one_thread()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def fail_on_one_thread() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
