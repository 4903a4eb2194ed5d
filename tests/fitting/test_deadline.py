import math
import time

import pytest

from crossent.fitting.deadline import Deadline
from crossent.monitoring.records import EpochRecord, ignore_epoch

EPOCH = EpochRecord(model="m", fold=1, folds=1, epoch=7, epochs=9, train_loss=1.0, valid_loss=math.nan)


def test_without_a_bound_no_fit_ends() -> None:
    deadline = Deadline(ignore_epoch, None, 1)
    assert [deadline.fold(i, 3)(EPOCH) for i in (1, 2, 3)] == [False] * 3
    assert not deadline.out_of_time
    assert not deadline.stopped


def test_without_time_every_fit_ends_at_its_first_epoch_and_nothing_counts_as_stopped() -> None:
    deadline = Deadline(ignore_epoch, 0.0, 1)
    assert deadline.out_of_time
    assert deadline.fold(1, 1)(EPOCH)
    assert not deadline.stopped


def test_a_fit_has_an_equal_share_of_the_time_that_is_left() -> None:
    # A share of 1,000 seconds is not over while this test runs, one of 100,000 parts of that is.
    deadline = Deadline(ignore_epoch, 1000.0, 100_000)
    first = deadline.fold(1, 100_000)
    time.sleep(0.05)
    assert first(EPOCH)
    assert not deadline.out_of_time


def test_the_last_fit_has_all_the_time_that_is_left() -> None:
    deadline = Deadline(ignore_epoch, 600.0, 10_000)
    for i in range(9_999):
        deadline.fold(i + 1, 10_000)
    last = deadline.fold(10_000, 10_000)
    time.sleep(0.1)
    assert not last(EPOCH)


def test_epochs_are_passed_on_with_their_fold() -> None:
    seen: list[EpochRecord] = []

    def stop_at_two(record: EpochRecord) -> bool:
        seen.append(record)
        return record.fold == 2

    deadline = Deadline(stop_at_two, None, 2)
    assert not deadline.fold(1, 3)(EPOCH)
    assert deadline.fold(2, 3)(EPOCH)
    assert [(record.fold, record.folds, record.epoch) for record in seen] == [(1, 3, 7), (2, 3, 7)]
    assert deadline.stopped


def test_a_stop_is_remembered_by_all_fits() -> None:
    answers = iter([True, False, False])
    deadline = Deadline(lambda _record: next(answers), None, 2)
    first = deadline.fold(1, 2)
    assert [first(EPOCH), first(EPOCH), deadline.fold(2, 2)(EPOCH)] == [True] * 3
    assert deadline.stopped


@pytest.mark.parametrize("fits", [0, 1])
def test_more_fits_than_were_said_still_have_time(fits: int) -> None:
    deadline = Deadline(ignore_epoch, 600.0, fits)
    assert not any(deadline.fold(i + 1, 3)(EPOCH) for i in range(3))
