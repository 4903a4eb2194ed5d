"""Finds out what each column holds: the kind that claims it, and the conversion of its values to that kind."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from crossent.data.cells import features_of
from crossent.errors import DataError
from crossent.kinds.catalogue import KINDS, claimed, kind_named, kind_of
from crossent.kinds.column import Column
from crossent.kinds.kind import Claim, Kind
from crossent.kinds.raw_column import UNREADABLE_SHARE, raw_column
from crossent.names import MOST_NAMES, listed, nearest, shortened

# Number of values that `Column.examples` shows, and of characters of each.
EXAMPLES, LONGEST_EXAMPLE = 3, 24


def understand(frame: pd.DataFrame, overrides: Mapping[str, str]) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """Infer the kind of every column and convert those in use.

    Parameters
    ----------
    frame
        Raw columns, as `read_table` gives them.
    overrides
        Kinds that the user gives, by column name.

    Returns
    -------
    frame
        The columns in use, converted by their kinds: numbers to float64, dates to datetime64, names to text.
    columns
        The description of every column.

    Raises
    ------
    DataError
        If an override names an unknown column or kind, if a number is infinite, or if no column can be used.
    """
    _check_overrides(frame, overrides)
    converted: dict[str, pd.Series[Any]] = {}
    columns = []
    for name in frame.columns:
        values, column = understand_column(frame[name], overrides.get(name))
        columns.append(column)
        if kind_of(column).used:
            converted[name] = values
    if not converted:
        raise DataError(
            "A model needs at least one column that it can learn from.",
            "; ".join(f"{shortened(column.name)} is {column.kind} ({column.note})" for column in columns[:MOST_NAMES])
            or "There is no column.",
            "Add a column, or give the kind of a column: --kind NAME=category, kinds={'NAME': 'category'}.",
        )
    return pd.DataFrame(converted, index=frame.index), tuple(columns)


def conform(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Convert a raw frame to the columns that a model was trained on; columns that it does not know are ignored.

    Raises
    ------
    DataError
        If a column is missing, or holds something of another kind.
    """
    converted = conform_columns(frame, columns)
    return pd.DataFrame(converted, index=frame.index)


def conform_columns(frame: pd.DataFrame, columns: Sequence[Column]) -> "dict[str, pd.Series[Any]]":
    """Do what `conform` does without building a frame, which takes as long as converting a row."""
    values = dict(frame.items())
    used = [column for column in columns if kind_of(column).used]
    missing = [column.name for column in used if column.name not in values]
    if missing:
        near = nearest(missing[0], frame.columns)
        raise DataError(
            "New rows need the columns that the model was trained on.",
            f"Missing: {listed(missing)}.",
            f"Is {near!r} meant to be {missing[0]!r}? Rename it." if near else "Add them; empty values are allowed.",
        )
    return {column.name: _converted(features_of(values[column.name]), column)[0] for column in used}


def _check_overrides(frame: pd.DataFrame, overrides: Mapping[str, str]) -> None:
    for name, kind in overrides.items():
        if name not in frame.columns:
            raise DataError(
                "Kinds are given for columns of the table.",
                f"There is no column {shortened(name)}.",
                f"Did you mean {nearest(name, frame.columns) or frame.columns[0]!r}?",
            )
        if kind not in {other.name for other in KINDS}:
            raise DataError(
                "A kind is one of " + ", ".join(sorted(other.name for other in KINDS)) + ".",
                f"{name!r} got {kind!r}.",
                "Choose one.",
            )


def understand_column(values: "pd.Series[Any]", override: str | None) -> "tuple[pd.Series[Any], Column]":
    """Find the kind of a column, unless one is given, and convert the column if models see this kind."""
    declared = isinstance(values.dtype, pd.CategoricalDtype)
    values = features_of(values)
    raw = raw_column(values, declared=declared)
    kind, claim = claimed(raw) if override is None else (kind_named(override), Claim("kind given by the user"))
    column = Column(
        name=str(values.name),
        kind=kind.name,
        missing=len(values) - raw.present,
        distinct=raw.distinct,
        examples=tuple(_shown(value) for value in raw.sample.head(EXAMPLES).tolist()),
        note=claim.reason,
        form=kind.form(raw),
    )
    if not kind.used:
        return values, column
    converted, unreadable = _converted(values, column)
    note = "; ".join(part for part in (claim.reason, unreadable) if part)
    return converted, dataclasses.replace(column, note=note)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:LONGEST_EXAMPLE]


def _converted(values: "pd.Series[Any]", column: Column) -> "tuple[pd.Series[Any], str]":
    """Convert the values of `features_of` to a kind that models see, and say what could not be read."""
    kind = kind_of(column)
    converted = kind.convert(values, column)
    if converted is values:
        return converted, ""
    missing = converted.isna().to_numpy()
    return converted, _check_unreadable(values, missing, kind) if missing.any() else ""


def _check_unreadable(values: "pd.Series[Any]", missing: npt.NDArray[np.bool_], kind: Kind) -> str:
    unreadable = values.notna().to_numpy() & missing
    count, first = int(unreadable.sum()), int(unreadable.argmax())
    if not count:
        return ""
    met = f"{shortened(values.iloc[first])} in row {first + 1}"
    if count > UNREADABLE_SHARE * values.notna().sum():
        raise DataError(
            f"Column {shortened(values.name)} must hold {kind.plural}.",
            f"{count} of {len(values)} values are not, the first {met}.",
            "Correct or empty them, or train with this column as another kind (--kind NAME=category).",
        )
    return f"{count} values are not {kind.plural}, the first {met}; read as missing"
