import numpy as np
import pandas as pd

from crossent.kinds.blocks import Widths
from crossent.kinds.category import CATEGORY
from crossent.kinds.column import Column
from crossent.kinds.raw_column import raw_column
from crossent.kinds.vocabulary import RARE, RESERVED

COLUMN = Column("x", "category", 0, 2, (), "")


def test_whole_numbers_with_and_without_gaps_are_one_name() -> None:
    with_gap, without = pd.Series([3, None, 7]), pd.Series([3, 7])
    assert CATEGORY.convert(with_gap, COLUMN).dropna().tolist() == CATEGORY.convert(without, COLUMN).tolist()
    assert CATEGORY.convert(without, COLUMN).tolist() == ["3", "7"]


def test_it_claims_what_is_left_and_says_how_many_values_are_numbers() -> None:
    for values, reason in (
        (["1", "2", "low", "high"] * 5, "50% of its values are numbers; all are read as names"),
        (["low", "high"] * 5, ""),
        (["1", "2"] * 5, ""),
    ):
        claim = CATEGORY.claims(raw_column(pd.Series(values, dtype="str"), declared=False))
        assert claim is not None
        assert claim.reason == reason


def test_names_become_codes() -> None:
    values = pd.Series(["a", "a", "a", "b"], dtype="str", name="x")
    encoding, features = CATEGORY.learn(values, np.zeros(4, np.int64), 2)
    assert (encoding.column, encoding.widths) == ("x", Widths(0, (RESERVED + 1,), 0))
    assert features.codes.tolist() == [[RESERVED]] * 3 + [[RARE]]
    assert encoding.unseen(pd.Series(["b", "c"], dtype="str")) == "1 rows hold values not seen in training: 'c'"
