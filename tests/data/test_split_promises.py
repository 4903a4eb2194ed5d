"""Which rows a split puts together, by hand."""

import numpy as np
import pandas as pd
import pytest

from crossent.data.read import read
from crossent.data.split import deal, folds, hold_out, row_units


def draw(rows: int = 100) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=rows), "y": rng.integers(0, 2, size=rows)})


def test_the_share_that_is_asked_for_is_held_out() -> None:
    sides = hold_out(read(draw(), "y"), 0.25, duplicates="auto", rng=np.random.default_rng(0))
    assert sides.sum() == 25


def test_which_rows_are_held_out_is_drawn() -> None:
    dataset = read(draw(), "y")
    first, again, other = (
        hold_out(dataset, 0.25, duplicates="auto", rng=np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_folds_are_of_equal_sizes() -> None:
    fold = folds(read(draw(), "y"), 4, duplicates="auto", rng=np.random.default_rng(0))
    assert np.bincount(fold).tolist() == [25] * 4


def test_rows_of_one_moment_stay_together_and_none_is_later_than_those_held_out() -> None:
    frame = draw(90).assign(day=np.repeat(np.arange(30), 3).astype(float))
    frame = frame.sample(frac=1, random_state=0, ignore_index=True)
    sides = hold_out(read(frame, "y", time="day"), 0.25, duplicates="auto", rng=np.random.default_rng(0))
    held_out, before = set(frame["day"][sides == 1]), set(frame["day"][sides == 0])
    assert not held_out & before
    assert max(before) < min(held_out)
    assert len(held_out) == 7


def test_groups_are_joined_by_copies_and_by_nothing_else() -> None:
    """Groups p and q share a row, r has none in common; numbers of groups and of copies are not the same thing."""
    frame = pd.DataFrame({"x": [5.0, 1.0, 1.0, 2.0, 3.0, 4.0], "who": [*"ppqqrr"], "y": [0, 1, 0, 1, 0, 1]})
    units = row_units(read(frame, "y", groups="who"), duplicates="together")
    assert len(set(units[:4])) == 1
    assert len(set(units[4:])) == 1
    assert units[0] != units[4]
    alone = row_units(read(frame, "y", groups="who"), duplicates="anywhere")
    assert len(set(alone)) == 3


@pytest.mark.parametrize("duplicates", ["auto", "together", "anywhere"])
def test_no_group_is_parted_whatever_happens_to_copies(duplicates: str) -> None:
    frame = draw().assign(who=np.random.default_rng(1).integers(0, 20, size=100).astype(str))
    dataset = read(frame, "y", groups="who")
    fold = folds(dataset, 4, duplicates=duplicates, rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert len({*zip(frame["who"], fold, strict=True)}) == 20
    assert set(fold) == {0, 1, 2, 3}


def test_large_units_are_dealt_first_and_small_ones_fill_what_is_left() -> None:
    """Units of 4, 3, 3, 2, 2 and 2 rows fill two equal sides exactly; dealt from the smallest up they would not."""
    units = np.repeat(np.arange(6), [2, 3, 4, 2, 3, 2])
    for seed in range(10):
        sides = deal(np.zeros(16, np.int64), units, np.array([0.5, 0.5]), np.random.default_rng(seed))
        assert np.bincount(sides).tolist() == [8, 8]
