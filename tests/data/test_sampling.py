import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from crossent.data.sampling import balanced_batches, oversample
from crossent.errors import SettingError, ShapeError

targets = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(np.array)


@given(targets, st.integers(0, 100))
def test_oversampling_gives_every_class_as_many_rows(target: np.ndarray, seed: int) -> None:
    rows = oversample(target, rng=np.random.default_rng(seed))
    counts = np.bincount(target[rows])
    most = np.bincount(target).max()
    assert set(counts[counts > 0]) == {most}
    # Each row is there, as often as any other of its class, give or take one.
    times = np.bincount(rows, minlength=len(target))
    for label in np.unique(target):
        of_class = times[target == label]
        assert of_class.min() >= 1
        assert of_class.max() - of_class.min() <= 1


@given(targets, st.integers(1, 40), st.integers(1, 4), st.integers(0, 100))
def test_every_batch_of_every_process_is_balanced(target: np.ndarray, size: int, processes: int, seed: int) -> None:
    each = [
        balanced_batches(target, size, rng=np.random.default_rng(seed), process=i, processes=processes)
        for i in range(processes)
    ]
    there = np.unique(target)
    assert len({len(batches) for batches in each}) == 1
    assert sum(len(batches) for batches in each) * size >= len(target)
    for batch in (batch for batches in each for batch in batches):
        assert len(batch) == size
        counts = np.bincount(target[batch], minlength=7)[there]
        assert counts.max() - counts.min() <= 1
    # Together the processes go through a class before any of its rows comes again.
    times = np.bincount(np.concatenate([batch for batches in each for batch in batches]), minlength=len(target))
    for label in there:
        assert np.ptp(times[target == label]) <= 1


def test_common_rows_change_from_epoch_to_epoch_and_the_seed_decides() -> None:
    target = np.repeat([0, 1], [1000, 10])
    rng = np.random.default_rng(0)
    first, second = (set(np.concatenate(balanced_batches(target, 50, rng=rng))) for _ in range(2))
    assert len(first & second) < len(first)
    again = balanced_batches(target, 50, rng=np.random.default_rng(0))
    assert set(np.concatenate(again)) == first


def test_it_serves_a_loader_of_torch() -> None:
    target = np.repeat([0, 1, 2], [60, 20, 4])
    data = TensorDataset(torch.from_numpy(target))
    batches = balanced_batches(target, 12, rng=np.random.default_rng(0))
    for (labels,) in DataLoader(data, batch_sampler=batches):
        assert labels.bincount().tolist() == [4, 4, 4]


@pytest.mark.parametrize("target", [np.array([0.5]), np.array([-1, 0]), np.array([], np.int64), np.zeros((2, 2), int)])
def test_what_are_no_class_indices_is_refused(target: np.ndarray) -> None:
    for call in (oversample, lambda target, rng: balanced_batches(target, 4, rng=rng)):
        with pytest.raises(ShapeError, match="class indices"):
            call(target, rng=np.random.default_rng(0))


def test_a_process_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingError, match="It is 2 of 2"):
        balanced_batches(np.array([0, 1]), 2, rng=np.random.default_rng(0), process=2, processes=2)
