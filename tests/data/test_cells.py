from typing import Any

import numpy as np
import pandas as pd
import pytest

from crossent.data.cells import features_of, plain_series
from crossent.errors import DataError
from crossent.kinds.values import texts_of, to_numbers


def series(values: list[Any], dtype: Any = "str") -> "pd.Series[Any]":
    return pd.Series(values, dtype=dtype, name="x")


def test_texts_that_mean_missing_are_missing_and_spaces_are_cut() -> None:
    values = features_of(series([" a ", "NA", "", None, "?", "\tb\n", "none"]))
    assert values.fillna("-").tolist() == ["a", "-", "-", "-", "-", "b", "none"]
    assert values.index.tolist() == list(range(7))


def test_texts_in_several_chunks_are_one_column() -> None:
    values = pd.concat([series(["1", "NA"]), series(["2", " 3"])], ignore_index=True)
    assert to_numbers(features_of(values)).tolist()[::2] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("values", "dtype", "texts"),
    [
        ([b"\xc3\xa9", "a", 1, 2.5, True], object, ["é", "a", "1", "2.5", "True"]),
        (["2020-01-31", "2020-01-31 10:00"], "datetime64[us]", ["2020-01-31", "2020-01-31 10:00:00"]),
        ([1, 2], pd.CategoricalDtype([1, 2]), ["1", "2"]),
        ([True, None], object, ["True", None]),
    ],
)
def test_texts_are_those_of_a_file(values: list[Any], dtype: Any, texts: list[Any]) -> None:
    data = pd.to_datetime(pd.Series(values), format="ISO8601") if "datetime" in str(dtype) else series(values, dtype)
    written = texts_of(plain_series(data))
    assert written.astype(object).where(written.notna(), None).tolist() == texts


@pytest.mark.parametrize("value", [b"\xff", 10**5000, "\ud800"], ids=["bytes", "digits", "surrogate"])
def test_values_that_no_file_holds_are_one_error(value: Any) -> None:
    with pytest.raises(DataError, match="Column 'x' holds a value that cannot"):
        features_of(series([value, "a"], object))


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, (1, 2), np.zeros(2), frozenset()], ids=str)
def test_cells_of_several_values_are_refused(value: Any) -> None:
    with pytest.raises(DataError, match="Column 'x' holds a"):
        plain_series(series([value, 1], object))


def test_texts_that_are_plain_already_are_not_copied() -> None:
    values = series(["a", None, "b c"])
    assert features_of(values) is values
