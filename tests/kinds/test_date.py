import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crossent.errors import DataError
from crossent.kinds.blocks import Widths
from crossent.kinds.column import Column
from crossent.kinds.date import DATE, DAY_FIRST, reads_day_first, to_dates
from crossent.kinds.vocabulary import MISSING

TARGET = np.array([0, 1, 0, 1])


def series(values: list[Any], dtype: Any = "str") -> "pd.Series[Any]":
    return pd.Series(values, dtype=dtype, name="x")


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


def test_dates_become_days_year_hour_month_and_weekday() -> None:
    dates = pd.Series(pd.to_datetime(["2024-01-01 06:30", "2024-01-07 18:00", "2025-12-25 00:00", None]), name="when")
    encoding, features = DATE.learn(dates, TARGET, 2)
    assert encoding.column == "when"
    # Days, year and hour, each with a flag; months are January and December, on three weekdays, none in three rows.
    assert encoding.widths == Widths(6, (3, 3), 0)
    assert np.isfinite(features.numbers).all()
    assert features.numbers[:, 1::2].tolist() == [[0.0] * 3] * 3 + [[1.0] * 3]
    # The middle of 6.5, 18 and 0 hours is 6.5, and their quartiles are 9 hours apart.
    np.testing.assert_allclose(features.numbers[:3, 4], [0, 11.5 / 9, -6.5 / 9], rtol=1e-6)
    assert features.codes[-1].tolist() == [MISSING, MISSING]
    assert encoding.unseen(pd.Series(pd.to_datetime(["2024-05-06", None]), name="when")) == (
        "1 rows hold values not seen in training: 'May'"
    )


def test_dates_without_a_time_of_day_have_no_hour() -> None:
    dates = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-07", "2025-12-25", "2023-02-03"]), name="when")
    encoding, _ = DATE.learn(dates, TARGET, 2)
    assert encoding.widths.numbers == 2
    at_noon = encoding.encode(dates + pd.Timedelta(hours=12))
    assert at_noon.numbers.shape == (4, 2)


def test_a_column_without_any_date_is_encoded() -> None:
    dates = pd.Series([pd.NaT, pd.NaT], name="when", dtype="datetime64[us]")
    encoding, features = DATE.learn(dates, TARGET[:2], 2)
    assert features.codes.tolist() == [[MISSING, MISSING]] * 2
    assert encoding.unseen(dates) == ""


def test_the_form_of_a_column_says_how_new_dates_are_read() -> None:
    column = Column("x", "date", 0, 2, (), "")
    assert DATE.convert(series(["03/04/2024"]), column).dt.month.tolist() == [3]
    day_first = Column("x", "date", 0, 2, (), "", DAY_FIRST)
    assert DATE.convert(series(["03/04/2024"]), day_first).dt.month.tolist() == [4]
