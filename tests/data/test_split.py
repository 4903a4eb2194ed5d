import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.data.duplicates import Duplicates, copy_codes, duplicate_codes, hash_rows
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


def are_whole(units: object, sides: np.ndarray) -> bool:
    """Say whether each unit has one side."""
    codes = pd.factorize(np.asarray(units))[0]
    return len(np.unique(np.column_stack([codes, sides]), axis=0)) == len(np.unique(codes))


OPTIONS = st.tuples(st.booleans(), st.booleans(), st.sampled_from(["auto", "together", "anywhere"]))


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 8), st.one_of(st.none(), st.integers(0, 6)), st.integers(0, 20)),
        min_size=4,
        max_size=60,
    ),
    OPTIONS,
    st.sampled_from([0.1, 0.25, 0.5]),
)
def test_no_option_makes_another_be_ignored(
    rows: list[tuple[int, int, int | None, int]], options: tuple[bool, bool, Duplicates], fraction: float
) -> None:
    grouped, timed, duplicates = options
    first, second, who, when = (list(values) for values in zip(*rows, strict=True))
    frame = pd.DataFrame({"x": np.array(first) / 7, "z": np.array(second) / 3, "who": who, "when": when})
    frame["y"] = np.arange(len(frame)) % 2
    dataset = read(
        frame if grouped else frame.drop(columns="who"),
        "y",
        groups="who" if grouped else None,
        time="when" if timed else None,
        kinds={"x": "number", "z": "number"},
    )
    try:
        sides = hold_out(dataset, fraction, duplicates=duplicates, rng=np.random.default_rng(0))
    except DataError:
        # All rows hang together, or end in one moment.
        return
    if grouped:
        known = frame["who"].notna().to_numpy()
        assert are_whole(frame["who"][known], sides[known])
    if duplicates != "anywhere":
        hashes = hash_rows(dataset.frame)
        codes = duplicate_codes(hashes) if duplicates == "together" else copy_codes(dataset.frame, hashes)
        assert are_whole(codes, sides)
    if timed:
        # Every row that is trained on is earlier than the last row of each unit held out.
        units = pd.Series(row_units(dataset, duplicates=duplicates))
        end = frame["when"].groupby(units.to_numpy()).transform("max").to_numpy()
        assert end[sides == 0].max() < end[sides == 1].min()


def test_with_groups_and_time_the_groups_that_end_latest_are_held_out_whole() -> None:
    who = np.repeat(np.arange(10), 10)
    # Each group has rows of every time; only its last row tells it from the others.
    when = np.tile(np.arange(10) * 100, 10) + np.repeat(np.arange(10)[::-1], 10)
    frame = pd.DataFrame({"x": np.arange(100) / 7, "who": who, "when": when, "y": np.arange(100) % 2})
    sides = hold_out(read(frame, "y", groups="who", time="when"), 0.25, duplicates="auto", rng=np.random.default_rng(0))
    assert set(who[sides == 1]) == {0, 1}
    assert sides.sum() == 20


def test_a_latest_group_of_more_rows_than_the_share_is_held_out_nevertheless() -> None:
    frame = pd.DataFrame({"x": np.arange(9) / 7, "who": list("aaabbbccc"), "when": range(9), "y": [0, 1, 0] * 3})
    dataset = read(frame, "y", groups="who", time="when")
    sides = hold_out(dataset, 0.25, duplicates="auto", rng=np.random.default_rng(0))
    assert sides.tolist() == [0] * 6 + [1] * 3


def test_copies_of_a_row_are_held_out_together_also_by_time() -> None:
    x = np.arange(40) / 7
    x[0] = x[39]
    frame = pd.DataFrame({"x": x, "when": range(40), "y": np.arange(40) % 2})
    dataset = read(frame, "y", time="when")
    for duplicates, side in (("auto", 1), ("together", 1), ("anywhere", 0)):
        sides = hold_out(dataset, 0.25, duplicates=duplicates, rng=np.random.default_rng(0))
        assert (sides[0], sides[39]) == (side, 1)


def test_rows_without_a_group_are_groups_of_their_own_and_no_strangers() -> None:
    who = [None, "p", "q", None, " ", "p", "q", ""] * 5
    frame = pd.DataFrame({"x": np.arange(40) / 7, "who": who, "y": np.arange(40) % 2})
    dataset = read(frame, "y", groups="who")
    assert dataset.groups is not None
    sizes = np.bincount(dataset.groups)
    assert sorted(sizes) == [1] * 20 + [10, 10]
    for duplicates in ("auto", "together", "anywhere"):
        units = row_units(dataset, duplicates=duplicates)
        assert len(np.unique(units)) == 22


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
