from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.errors import DataError
from crossent.kinds.values import arrow_of, numbers_of, series_of_texts, texts_of, to_numbers


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5)), max_size=20))
def test_texts_go_to_arrow_and_back(values: list[str | None]) -> None:
    texts = pd.Series(values, dtype="str", name="x", index=np.arange(len(values)) + 3)
    pd.testing.assert_series_equal(series_of_texts(arrow_of(texts), "x", texts.index), texts)


@pytest.mark.parametrize("other", ["zz", "1e400", " 7 ", None])
@given(number=st.floats(allow_nan=False), whole=st.integers(-(2**70), 2**70))
def test_a_number_is_read_as_python_reads_it_whatever_stands_beside_it(
    other: str | None, number: float, whole: int
) -> None:
    texts = pd.Series([repr(number), str(whole), other], dtype="str")
    assert numbers_of(arrow_of(texts))[:2].tolist() == [number, float(whole)]


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (pd.array([1, None], "Int64"), [1.0, np.nan]),
        (pd.to_timedelta(["1 day", None]), [86400.0, np.nan]),
        ([True, False], [1.0, 0.0]),
        (pd.array(["1", None], "str"), [1.0, np.nan]),
    ],
)
def test_numbers_of_every_type(values: Any, numbers: list[float]) -> None:
    np.testing.assert_array_equal(to_numbers(pd.Series(values)), numbers)


def test_what_has_no_text_is_one_error() -> None:
    with pytest.raises(DataError, match="Column 'x' holds a value that cannot"):
        texts_of(pd.Series([b"\xff"], name="x", dtype=object))
