import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.data.read import read
from crossent.data.split import deal, folds, hold_out, row_units
from crossent.errors import DataError


@given(
    st.lists(st.integers(0, 4), min_size=4, max_size=200),
    st.sampled_from([(0.75, 0.25), (0.5, 0.5), (0.2, 0.2, 0.2, 0.2, 0.2)]),
    st.integers(0, 2**31),
)
def test_rows_on_their_own_are_dealt_within_one_of_the_share(
    target: list[int], shares: tuple[float, ...], seed: int
) -> None:
    classes = np.array(target)
    sides = deal(classes, np.arange(len(classes)), np.array(shares), np.random.default_rng(seed))
    for label in np.unique(classes):
        counts = np.bincount(sides[classes == label], minlength=len(shares))
        wanted = np.array(shares) * (classes == label).sum()
        assert (np.abs(counts - wanted) < 1).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15)), min_size=2, max_size=200), st.integers(0, 2**31))
def test_units_are_never_parted(rows: list[tuple[int, int]], seed: int) -> None:
    target, units = np.array(rows).T
    sides = deal(target, units, np.array([0.75, 0.25]), np.random.default_rng(seed))
    for unit in np.unique(units):
        assert len(set(sides[units == unit])) == 1


def test_the_single_row_of_a_class_is_for_training() -> None:
    target = np.array([0] * 20 + [1])
    for seed in range(10):
        sides = deal(target, np.arange(21), np.array([0.75, 0.25]), np.random.default_rng(seed))
        assert sides[-1] == 0


def test_folds_of_many_sizes_stay_level() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, size=1000)
    units = rng.integers(0, 200, size=1000)
    counts = np.bincount(deal(target, units, np.full(5, 0.2), rng), minlength=5)
    assert counts.min() > 150


def test_duplicates_stay_together_unless_asked() -> None:
    frame = pd.DataFrame({"x": np.repeat(np.arange(50) / 7, 4), "y": np.tile([0, 1, 1, 2], 50)})
    dataset = read(frame, "y")
    rng = np.random.default_rng(0)
    sides = hold_out(dataset, 0.25, duplicates="together", rng=rng)
    for value in frame["x"].unique():
        assert len(set(sides[frame["x"] == value])) == 1
    apart = hold_out(dataset, 0.25, duplicates="anywhere", rng=rng)
    assert any(len(set(apart[frame["x"] == value])) == 2 for value in frame["x"].unique())


def test_groups_and_duplicates_join_into_one_unit() -> None:
    frame = pd.DataFrame({"x": [1.0, 1.0, 2.0, 3.0], "who": ["p", "q", "q", "r"], "y": [0, 1, 0, 1]})
    units = row_units(read(frame, "y", groups="who"), duplicates="auto")
    assert units[0] == units[1] == units[2] != units[3]


def test_latest_rows_are_held_out() -> None:
    frame = pd.DataFrame({"x": np.arange(100) % 7, "day": np.arange(100)[::-1] / 2, "y": np.arange(100) % 2})
    dataset = read(frame, "y", time="day")
    sides = hold_out(dataset, 0.25, duplicates="auto", rng=np.random.default_rng(0))
    assert sides.tolist() == [1] * 25 + [0] * 75


def test_a_side_without_rows_is_an_error() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "who": ["p", "p", "p"], "y": [0, 1, 0]})
    with pytest.raises(DataError, match="held out"):
        hold_out(read(frame, "y", groups="who"), 0.25, duplicates="auto", rng=np.random.default_rng(0))


def test_folds_cover_every_row_once(hpc: pd.DataFrame) -> None:
    dataset = read(hpc, "class")
    fold = folds(dataset, 5, duplicates="auto", rng=np.random.default_rng(0))
    table = pd.crosstab(dataset.target, fold).to_numpy()
    assert table.shape == (4, 5)
    assert (table.max(axis=1) - table.min(axis=1) <= 1).all()
