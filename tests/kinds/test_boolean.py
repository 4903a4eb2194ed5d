import pandas as pd
import pytest

from crossent.kinds.boolean import BOOLEAN
from crossent.kinds.column import Column
from crossent.kinds.raw_column import raw_column

COLUMN = Column("x", "boolean", 0, 2, (), "")


def test_all_spellings_are_two_words_and_others_stay() -> None:
    values = pd.Series(["YES", "t", "1", "No", "F", "0.0", None, "Maybe"], dtype="str", name="x")
    words = BOOLEAN.convert(values, COLUMN)
    assert words.fillna("-").tolist() == ["true"] * 3 + ["false"] * 3 + ["-", "maybe"]
    assert BOOLEAN.convert(pd.Series([True, False]), COLUMN).tolist() == ["true", "false"]


@pytest.mark.parametrize(
    ("values", "mine"),
    [
        (["yes", "No"], True),
        (["yes", "No", "TRUE", "false", "T", "f"], True),
        (["F", "N"], False),
        (["f", "t", "n"], False),
        (["yes", "No", "TRUE"], False),
        (["y", "t"], False),
        (["yes", "maybe"], False),
        ([f"y{i}" for i in range(2000)], False),
        ([True, False], True),
        ([0, 1], False),
    ],
)
def test_it_claims_booleans_and_words_for_them(values: list[object], mine: bool) -> None:
    assert (BOOLEAN.claims(raw_column(pd.Series(values), declared=False)) is not None) == mine
