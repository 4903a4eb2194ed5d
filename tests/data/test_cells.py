import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crossent.data.cells import features_of, plain_series, reads_day_first, texts_of, to_dates, to_numbers
from crossent.errors import DataError


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
    with pytest.raises(DataError, match="Column 'x' holds one that cannot"):
        features_of(series([value, "a"], object))


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, (1, 2), np.zeros(2), frozenset()], ids=str)
def test_cells_of_several_values_are_refused(value: Any) -> None:
    with pytest.raises(DataError, match="Column 'x' holds a"):
        plain_series(series([value, 1], object))


def test_times_of_day_do_not_depend_on_the_day_of_reading() -> None:
    dates = to_dates(series(["12:30", "0:05:01", "11:00 pm", "2020-01-31", "x"]), day_first=False)
    moments = ["1970-01-01 12:30:00", "1970-01-01 00:05:01", "1970-01-01 23:00:00", "2020-01-31 00:00:00", "NaT"]
    assert dates.astype(str).fillna("NaT").tolist() == moments


def test_dates_are_in_utc_and_of_any_year() -> None:
    assert to_dates(series(["2020-01-31T00:30+01:00"]), day_first=False).tolist() == [pd.Timestamp("2020-01-30 23:30")]
    far = pd.Series(np.array([400_000_000_000], "datetime64[s]"), name="x")
    assert to_dates(far, day_first=False).dt.year.tolist() == [14645]
    with pytest.raises(DataError, match="Column 'x'"):
        to_dates(pd.Series(np.array([2**60], "datetime64[s]"), name="x"), day_first=False)


def test_long_cells_are_not_looked_at_as_dates() -> None:
    long = "1 January 2020 " * 70_000
    values = series(["01/02/2020", "03/04/2020", long] * 20)
    begin = time.process_time()
    dates = to_dates(values, day_first=reads_day_first(values))
    assert time.process_time() - begin < 2
    assert dates.isna().tolist() == [False, False, True] * 20


DATES = [
    "05/02/2020",
    "05/02/2020 00:00",
    "5/2/2020 7:30:15",
    "25.12.2019",
    "25.12.19",
    "2020-02-05",
    "2020-02-05T12:00",
    "5 Feb 2020",
    "Feb 5, 2020",
    "05-02-2020",
    "31/04/2020",
    "12,5",
    "1,031.5",
    "1/1",
    "soon",
]


@pytest.mark.parametrize("day_first", [True, False])
def test_a_date_means_the_same_whatever_stands_beside_it(day_first: bool) -> None:
    alone = [to_dates(pd.Series([text], dtype="str"), day_first=day_first)[0] for text in DATES]
    for order in (range(len(DATES)), reversed(range(len(DATES))), np.random.default_rng(0).permutation(len(DATES))):
        places = list(order)
        together = to_dates(pd.Series([DATES[i] for i in places], dtype="str"), day_first=day_first)
        assert together.isna().tolist() == [pd.isna(alone[i]) for i in places]
        assert together.dropna().tolist() == [alone[i] for i in places if not pd.isna(alone[i])]


def test_numbers_are_no_dates_and_dates_keep_their_order() -> None:
    texts = pd.Series(["12,5", "45,3", "1,031.5", "1-1", "3/4", "31/04/2020", "25/12/2019", "05/02/2020"], dtype="str")
    day_first = to_dates(texts, day_first=True)
    assert day_first.isna().tolist() == [True] * 6 + [False] * 2
    assert day_first.tolist()[6:] == [pd.Timestamp("2019-12-25"), pd.Timestamp("2020-02-05")]
    month_first = to_dates(texts, day_first=False)
    assert month_first.isna().tolist() == [True] * 7 + [False]
    assert month_first[7] == pd.Timestamp("2020-05-02")


def test_the_order_of_day_and_month_follows_from_the_dates_that_fit_one_way_alone() -> None:
    assert reads_day_first(pd.Series(["03/04/20", "25/04/20"], dtype="str"))
    assert not reads_day_first(pd.Series(["03/04/20", "04/25/20"], dtype="str"))
    assert reads_day_first(pd.Series(["03.04.2020", "05.04.2020"], dtype="str"))
