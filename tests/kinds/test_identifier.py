import pandas as pd
import pytest

from crossent.kinds.identifier import IDENTIFIER
from crossent.kinds.raw_column import raw_column


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (range(7, 107), "counts the rows"),
        ([str(i) for i in range(100)], "counts the rows"),
        ([2.0**62 + 512 * i for i in range(100)], None),
        (range(0, 200, 2), None),
        (range(40), None),
        (pd.to_timedelta(range(100), unit="s"), None),
        ([f"user-{i}" for i in range(100)], "nearly every row has a value of its own"),
        ([f"user-{i % 90}" for i in range(100)], None),
        ([f"user-{i}" for i in range(40)], None),
    ],
)
def test_row_numbers_and_names_that_differ_are_identifiers(values: object, reason: str | None) -> None:
    claim = IDENTIFIER.claims(raw_column(pd.Series(values), declared=False))
    assert (None if claim is None else claim.reason) == reason
