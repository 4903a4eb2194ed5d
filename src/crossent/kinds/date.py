"""Dates and times: days, year and hour as numbers, month and weekday as categories."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.errors import DataError
from crossent.kinds.blocks import Features, Widths, features_of
from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind, Target
from crossent.kinds.raw_column import LONGEST_VALUE, SAMPLE, UNREADABLE_SHARE, RawColumn
from crossent.kinds.scale import Scale, learn_scale
from crossent.kinds.values import is_duration, is_moment
from crossent.kinds.vocabulary import Vocabulary, learn_vocabulary
from crossent.names import shortened

# The form of a column in which 03/04 is the third of April.
DAY_FIRST = "day first"
# A time of day without a date; pandas would give it the date of today.
_TIME_OF_DAY = r"(?i)\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[ap]m)?"


@dataclass(frozen=True, eq=False)
class DateEncoding:
    """How a column of dates becomes features.

    Attributes
    ----------
    column
        Its name.
    days
        Scale of the days since 1970, with their fractions.
    year
        Scale of the year.
    hour
        Scale of the hour, with its fractions; None where no training row has a time of day.
    month, weekday
        Vocabularies of their English names.
    """

    column: str
    days: Scale
    year: Scale
    hour: Scale | None
    month: Vocabulary
    weekday: Vocabulary

    @property
    def widths(self) -> Widths:
        """Two or three numbers, each with a flag if training had missing values, and two columns of codes."""
        scales = (self.days, self.year) if self.hour is None else (self.days, self.year, self.hour)
        cardinalities = (self.month.cardinality, self.weekday.cardinality)
        return Widths(numbers=sum(scale.width for scale in scales), cardinalities=cardinalities)

    def encode(self, values: "pd.Series[Any]") -> Features:
        """Return the features of ``(n,)`` dates."""
        numbers = [*self.days.encode(_days(values)), *self.year.encode(_year(values))]
        if self.hour is not None:
            numbers += self.hour.encode(_hour(values))
        return features_of(
            len(values),
            numbers=numbers,
            codes=[self.month.encode(values.dt.month_name()), self.weekday.encode(values.dt.day_name())],
            cardinalities=self.widths.cardinalities,
        )

    def unseen(self, values: "pd.Series[Any]") -> str:
        """Say which months and weekdays were not seen in training."""
        notes = (self.month.unseen(values.dt.month_name()), self.weekday.unseen(values.dt.day_name()))
        return "; ".join(note for note in notes if note)


def _days(dates: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    # Pandas chooses the unit of a column by all of its values, and each unit rounds differently.
    days = (dates.dt.as_unit("us") - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return np.asarray(days.to_numpy(np.float64))


def _year(dates: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    return np.asarray(dates.dt.year.to_numpy(np.float64))


def _hour(dates: "pd.Series[Any]") -> npt.NDArray[np.float64]:
    return np.asarray((dates.dt.hour + dates.dt.minute / 60).to_numpy(np.float64))


def _claims(raw: RawColumn) -> Claim | None:
    if is_moment(raw.cells):
        return Claim()
    if not raw.is_texts or raw.is_long or raw.are_numbers:
        return None
    dates = to_dates(raw.sample, day_first=reads_day_first(raw.sample))
    return Claim() if dates.notna().mean() >= 1 - UNREADABLE_SHARE else None


def _form(raw: RawColumn) -> str:
    return DAY_FIRST if raw.is_texts and reads_day_first(raw.sample) else ""


def _convert(values: "pd.Series[Any]", column: Column) -> "pd.Series[Any]":
    return to_dates(values, day_first=column.form == DAY_FIRST)


def _learn(values: "pd.Series[Any]", _target: Target, _num_classes: int) -> tuple[DateEncoding, Features]:
    has_hours = bool((values.dt.normalize() != values)[values.notna()].any())
    encoding = DateEncoding(
        str(values.name),
        days=learn_scale(_days(values)),
        year=learn_scale(_year(values)),
        hour=learn_scale(_hour(values)) if has_hours else None,
        month=learn_vocabulary(values.dt.month_name()),
        weekday=learn_vocabulary(values.dt.day_name()),
    )
    return encoding, encoding.encode(values)


def to_dates(values: "pd.Series[Any]", *, day_first: bool) -> "pd.Series[Any]":
    """Return moments without a time zone, NaT where a value is missing or not a date.

    Raises
    ------
    DataError
        If a moment is farther away than microseconds in 64 bits reach, 290,000 years.
    """
    if is_moment(values):
        return _moments(values)
    if pd.api.types.is_numeric_dtype(values.dtype) or is_duration(values):
        return pd.Series(pd.NaT, index=values.index, name=values.name, dtype="datetime64[us]")
    values = values.where(values.str.len() <= LONGEST_VALUE)
    times = values.str.fullmatch(_TIME_OF_DAY).fillna(False).astype(bool)
    if times.any():
        # Each value may have another form: 9:30, 09:30:00, 9:30 pm.
        moments = pd.to_datetime("1970-01-01 " + values.where(times), errors="coerce", utc=True, format="mixed")
        moments = moments.dt.tz_localize(None)
        return moments if times.all() else to_dates(values.mask(times), day_first=day_first).fillna(moments)
    dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    unread = values[dates.isna() & _has_parts_of_date(values)]
    if len(unread):
        dates = dates.fillna(_other_dates(unread, day_first=day_first).reindex(values.index))
    return dates.dt.tz_localize(None)


def _has_parts_of_date(texts: "pd.Series[Any]") -> "pd.Series[bool]":
    """Say which texts have a day, a month and a year, or a month and a year of four digits.

    Without this check a number with a decimal comma would become a day in the year 1.
    """
    parts = texts.str.count(r"\d+|[^\W\d_]+") >= 3
    numbers = texts.str.contains(r"\d,\d") & ~texts.str.contains(r"[^\W\d_]")
    month = texts.str.fullmatch(r"\s*([^\W\d_]{3,}\W+|\d{1,2}[/.-])\d{4}\s*")
    return ((parts & ~numbers) | month).fillna(False).astype(bool)


def _other_dates(texts: "pd.Series[Any]", *, day_first: bool) -> "pd.Series[Any]":
    """Return the dates of texts that are not in the international form; each text is read by itself.

    Pandas would read all of them in the form of the first one, so the date of a row would depend on the other rows.
    """
    places, distinct_texts = pd.factorize(texts)
    distinct = pd.Series(distinct_texts, dtype=texts.dtype)
    dates = pd.Series(pd.NaT, index=distinct.index, dtype="datetime64[us, UTC]")
    for form in _forms(day_first=day_first):
        unread = distinct[dates.isna()]
        if not len(unread):
            break
        dates = dates.fillna(pd.to_datetime(unread, errors="coerce", utc=True, format=form).reindex(distinct.index))
    unread = distinct[dates.isna()]
    if len(unread):
        # Any other form that dateutil knows; this is a hundred times as slow.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            others = pd.to_datetime(unread, errors="coerce", utc=True, format="mixed", dayfirst=day_first)
        # dateutil reads 25/04 as the 25th of April even where months come first.
        first = pd.to_numeric(unread.str.extract(r"^\s*(\d{1,2})[\W_]+\d{1,2}[\W_]+\d", expand=False))
        turned = first.notna() & (first != (others.dt.day if day_first else others.dt.month))
        dates = dates.fillna(others.mask(turned).reindex(distinct.index))
    return pd.Series(dates.array.take(places), index=texts.index)


def _forms(*, day_first: bool) -> list[str]:
    """Return the common forms of dates, for which reading is quick."""
    days = [f"%d{mark}%m{mark}%Y" if day_first else f"%m{mark}%d{mark}%Y" for mark in "/.-"]
    return [day + time for day in days for time in ("", " %H:%M", " %H:%M:%S")]


def reads_day_first(distinct: "pd.Series[Any]") -> bool:
    """Decide by the other values whether 03/04 is the third of April; if all fit both ways, dots mean day first."""
    if not isinstance(distinct.dtype, pd.StringDtype):
        return False
    sample = distinct.head(SAMPLE)
    month_first, day_first = (int(to_dates(sample, day_first=way).notna().sum()) for way in (False, True))
    if month_first == day_first:
        return bool(sample.str.match(r"\d{1,2}\.").any())
    return day_first > month_first


def _moments(values: "pd.Series[Any]") -> "pd.Series[Any]":
    dates: pd.Series[Any] = values if values.dt.tz is None else values.dt.tz_convert("UTC").dt.tz_localize(None)
    if dates.dt.unit in {"ns", "us"}:
        return dates
    try:
        dates = dates.dt.as_unit("us")
    except (ValueError, OverflowError) as error:
        raise DataError(
            "Dates lie between the years -290,000 and 290,000.",
            f"Column {shortened(values.name)} holds a date outside of these ({str(error)[:200]}).",
            "Correct or empty such dates, or write them as numbers.",
        ) from error
    return dates


DATE = Kind(
    "date",
    _claims,
    plural="dates",
    gives=frozenset({"numbers", "codes"}),
    convert=_convert,
    form=_form,
    encoding=DateEncoding,
    learn=_learn,
)
