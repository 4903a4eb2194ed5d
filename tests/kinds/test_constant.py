import pandas as pd
import pytest

from crossent.kinds.constant import CONSTANT
from crossent.kinds.raw_column import raw_column


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.0, None, 1.0], "every value is the same"),
        (["a", "a"], "every value is the same"),
        ([None, None], "every value is missing"),
        ([1, 2], None),
    ],
)
def test_columns_of_one_value_or_none_say_nothing(values: list[object], reason: str | None) -> None:
    claim = CONSTANT.claims(raw_column(pd.Series(values), declared=False))
    assert (None if claim is None else claim.reason) == reason
    assert not CONSTANT.used
