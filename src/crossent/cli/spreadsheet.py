"""Texts that a spreadsheet would run as formulas: written into CSV files safely, and read back as they were."""

import csv
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

# Characters that begin a formula for a spreadsheet program, or that it drops before it looks for one.
_STARTS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(f"'*[{_STARTS}]")
_SAFE_FORMULA = re.compile(f"''*[{_STARTS}]")
# Plain numbers, also with thousands separators or a percent sign, are not formulas, and a single sign is not either.
_NUMBER = re.compile(r"[+\-]?[\d.,]*(?:[eE][+\-]?\d+)?%?")


def without_formulas(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return a table whose texts and names begin with an apostrophe where a spreadsheet would run them, and how many.

    The apostrophe tells a spreadsheet that a text follows. Texts that already begin with apostrophes before such a
    formula get one more, so that `with_formulas` can restore every text exactly.

    Examples
    --------
    >>> safe, count = without_formulas(pd.DataFrame({"=A1": ["=1+2", "-5", "a=b"]}))
    >>> list(safe.columns), safe["'=A1"].tolist(), count
    (["'=A1"], ["'=1+2", '-5', 'a=b'], 2)
    """
    return _changed(table, lambda text: f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text)


def with_formulas(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return a table that `without_formulas` made safe as it was before, and how many texts and names changed.

    Examples
    --------
    >>> with_formulas(pd.DataFrame({"'=A1": ["'=1+2", "'tis", "''=3"]}))[0].to_dict("list")
    {'=A1': ['=1+2', "'tis", "'=3"]}
    """
    return _changed(table, lambda text: text[1:] if _SAFE_FORMULA.match(text) else text)


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV, in which a carriage return within a text does not begin a new line."""
    text = table.to_csv(index=False)
    return table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC) if "\r" in text else text


def _changed(table: pd.DataFrame, change: Callable[[str], str]) -> tuple[pd.DataFrame, int]:
    names = [change(str(name)) for name in table.columns]
    count = sum(new != str(old) for new, old in zip(names, table.columns, strict=True))
    columns = []
    for position in range(table.shape[1]):
        values, changed = _changed_texts(table.iloc[:, position], change)
        columns.append(values)
        count += changed
    return (pd.concat(columns, axis=1).set_axis(names, axis=1), count) if count else (table, 0)


def _changed_texts(values: "pd.Series[Any]", change: Callable[[str], str]) -> "tuple[pd.Series[Any], int]":
    if not (values.dtype == object or isinstance(values.dtype, pd.StringDtype | pd.CategoricalDtype)):
        return values, 0
    # Most columns hold no formula; they are searched only once.
    rows = np.flatnonzero(values.astype("str").str.match(_FORMULA.pattern).fillna(False).to_numpy(bool))
    new = values.astype(object)
    count = 0
    for row in rows.tolist():
        old = new.iloc[row]
        if isinstance(old, str) and change(old) != old:
            new.iloc[row] = change(old)
            count += 1
    return (new, count) if count else (values, 0)
