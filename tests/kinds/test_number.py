import numpy as np
import pandas as pd
import pytest

from crossent.errors import DataError
from crossent.kinds.column import Column
from crossent.kinds.number import NUMBER

COLUMN = Column("x", "number", 0, 2, (), "")


def test_texts_durations_and_numbers_are_read() -> None:
    for values in (["60", "1e2", None, "x"], pd.to_timedelta(["60s", "100s", None, None]), [60.0, 100.0, None, None]):
        numbers = NUMBER.convert(pd.Series(values, name="x"), COLUMN)
        assert numbers.dtype == np.float64
        assert numbers.fillna(-1).tolist() == [60.0, 100.0, -1.0, -1.0]


def test_numbers_that_are_plain_already_are_not_copied() -> None:
    values = pd.Series([1.0, np.nan], name="x")
    assert NUMBER.convert(values, COLUMN) is values


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinity_is_refused_with_its_row(infinity: float) -> None:
    with pytest.raises(DataError, match=r"'x' holds 1 infinite.*row 2"):
        NUMBER.convert(pd.Series([0.0, infinity], name="x"), COLUMN)


def test_any_number_is_seen() -> None:
    values = pd.Series([1.0, 2.0, np.nan], name="x")
    encoding, features = NUMBER.learn(values, np.zeros(3, np.int64), 2)
    assert (encoding.column, encoding.widths.numbers, features.numbers.shape) == ("x", 2, (3, 2))
    assert encoding.unseen(pd.Series([1e9])) == ""
