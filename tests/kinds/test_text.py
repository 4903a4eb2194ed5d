import numpy as np
import pandas as pd
import pytest

from crossent.errors import DataError
from crossent.kinds.column import Column
from crossent.kinds.raw_column import raw_column
from crossent.kinds.text import TEXT

COLUMN = Column("review", "text", 0, 2, (), "")


@pytest.mark.parametrize(
    ("text", "mine"),
    [("five words are a name", False), ("six words are a short text", True), ("我很喜欢这个东西因为它很好", True)],
)
def test_it_claims_more_words_than_a_name_has(text: str, mine: bool) -> None:
    claim = TEXT.claims(raw_column(pd.Series([text, text + "!"], dtype="str"), declared=False))
    assert (claim is not None) == mine


def test_numbers_are_no_text_but_one_row_may_be() -> None:
    with pytest.raises(DataError, match=r"'review' must hold text.*numbers: '4', …"):
        TEXT.convert(pd.Series(["4", "2"], dtype="str", name="review"), COLUMN)
    assert TEXT.convert(pd.Series(["42"], dtype="str", name="review"), COLUMN).tolist() == ["42"]


def test_texts_without_anything_known_are_counted() -> None:
    texts = pd.Series(["red wine", "red beer"], dtype="str", name="review")
    encoding, features = TEXT.learn(texts, np.array([0, 1]), 2)
    assert features.ngrams is not None
    assert features.ngrams.shape == (2, encoding.widths.ngrams)
    assert encoding.unseen(texts) == ""
    new = pd.Series(["red", None, "жжж"], dtype="str", name="review")
    assert encoding.unseen(new).startswith("2 rows are empty or hold no word")
