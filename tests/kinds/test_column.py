import pytest

from crossent.kinds.column import Column, ColumnOfFormat1


def test_counts_below_zero_are_refused() -> None:
    for missing, distinct in ((-1, 2), (0, -1)):
        with pytest.raises(ValueError, match="column 'x' cannot have"):
            Column("x", "number", missing, distinct, (), "")


def test_the_order_of_day_and_month_of_format_1_is_the_form() -> None:
    former = ColumnOfFormat1("x", "date", 1, 2, ("03/04/2024",), "n", day_first=True)
    assert Column.from_format_1(former) == Column("x", "date", 1, 2, ("03/04/2024",), "n", "day first")
