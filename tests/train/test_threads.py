from collections.abc import Iterator

import pytest
import torch

from crossent.train.threads import JUDGED, SHORTEST_PAUSE, TRIAL, Threads, one_thread


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Machine:
    """A clock, and steps on it that take as long as is given by the number of threads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = Threads(3, clock=lambda: self.now)

    def counts(self, number: int, *, on_one: float = 1.0, on_three: float) -> list[int]:
        """Return the number of threads of each of a number of steps."""
        found = []
        for _ in range(number):
            with self.threads.of_step():
                found.append(torch.get_num_threads())
                self.now += {1: on_one, 3: on_three}[found[-1]]
        return found


def test_takes_several_after_a_trial_where_they_are_quicker() -> None:
    with one_thread():
        assert Machine().counts(TRIAL + 500, on_three=0.9) == [1] * TRIAL + [3] * 500


def test_goes_back_to_one_after_one_step_that_is_held_up_and_tries_again_later_and_later() -> None:
    with one_thread():
        found = Machine().counts(TRIAL + 7 * SHORTEST_PAUSE + 10, on_three=100.0)
    slow = [step for step, count in enumerate(found) if count == 3]
    assert slow == [TRIAL, TRIAL + 1 + SHORTEST_PAUSE, TRIAL + 2 + 3 * SHORTEST_PAUSE, TRIAL + 3 + 7 * SHORTEST_PAUSE]


def test_a_few_steps_that_are_slow_change_nothing() -> None:
    machine = Machine()
    with one_thread():
        machine.counts(TRIAL + 3, on_three=0.6)
        assert machine.counts(JUDGED // 4, on_three=2.0) == [3] * (JUDGED // 4)
        assert machine.counts(1, on_three=20.0) == [3]
        assert machine.counts(100, on_three=0.6) == [3] * 100


def test_goes_back_to_one_when_most_steps_are_a_little_slow() -> None:
    machine = Machine()
    with one_thread():
        machine.counts(TRIAL + JUDGED, on_three=0.6)
        found = machine.counts(JUDGED, on_three=1.5)
    # The median of 0.6 and 1.5, half of each, is above 1.
    assert found == [3] * (JUDGED // 2) + [1] * (JUDGED // 2)


def test_a_long_time_on_several_makes_the_next_pause_short_again() -> None:
    machine = Machine()
    with one_thread():
        machine.counts(TRIAL + 2 * SHORTEST_PAUSE, on_three=100.0)
        while machine.counts(1, on_three=0.6) == [1]:
            pass
        machine.counts(2 * SHORTEST_PAUSE, on_three=0.6)
        assert machine.counts(1, on_three=100.0) == [3]
        assert machine.counts(SHORTEST_PAUSE + 1, on_three=0.6) == [1] * SHORTEST_PAUSE + [3]


def test_one_stays_one() -> None:
    threads = Threads(1)
    with one_thread():
        for _ in range(200):
            with threads.of_step():
                assert torch.get_num_threads() == 1


def test_a_real_clock_runs() -> None:
    threads = Threads(3)
    with one_thread():
        for _ in range(TRIAL):
            with threads.of_step():
                torch.ones(10).sum()
        assert torch.get_num_threads() == 3


def test_one_thread_gives_the_others_back_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        fail_on_one_thread()
    assert torch.get_num_threads() == 3


def fail_on_one_thread() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
