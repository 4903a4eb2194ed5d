import pandas as pd
import pytest

from crossent.kinds.raw_column import SAMPLE, RawColumn, raw_column


def raw(values: object, dtype: str | None = None) -> RawColumn:
    return raw_column(pd.Series(values, dtype=dtype), declared=False)


def test_present_and_distinct_values_are_counted() -> None:
    for column in (raw(["a", None, "b", "a"], "str"), raw([1.0, None, 2.0, 1.0])):
        assert (column.present, column.distinct, len(column.sample)) == (3, 2, 2)
    many = raw([str(i) for i in range(SAMPLE + 5)], "str")
    assert (many.distinct, len(many.sample), many.sample[0]) == (SAMPLE + 5, SAMPLE, "0")


@pytest.mark.parametrize(
    ("values", "share", "numbers"),
    [
        (["1", "x", None, "2.5"], 2 / 3, [1.0, 2.5]),
        ([3, 4], 1.0, [3, 4]),
        ([None, None], 0.0, []),
        (pd.to_datetime(["2024-01-01"]), 0.0, []),
        (pd.to_timedelta([1, 2], unit="s"), 0.0, []),
        (["9" * 61, "8" * 61], 0.0, [float("9" * 61), float("8" * 61)]),
    ],
    ids=["texts", "numbers", "none", "moments", "durations", "long"],
)
def test_numbers_among_values(values: object, share: float, numbers: list[float]) -> None:
    column = raw(values)
    assert column.share_of_numbers == pytest.approx(share)
    assert column.numbers.tolist() == numbers


def test_row_numbers_beyond_float64_are_told_apart() -> None:
    first = 2**60
    assert raw([first + i for i in range(60)]).count_rows
    assert not raw([first + 2 * i for i in range(60)]).count_rows


def test_long_texts_are_no_numbers_dates_or_names() -> None:
    assert raw(["x" * 61, "y" * 70, "z"], "str").is_long
    assert not raw(["x" * 61, "y", "z"], "str").is_long
    assert not raw([1.0, 2.0]).is_long
