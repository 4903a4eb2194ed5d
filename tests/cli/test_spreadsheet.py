import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.cli.spreadsheet import to_csv, with_formulas, without_formulas

RUN = [
    "=1+2",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    '=HYPERLINK("x")',
    "--1",
    "-a",
]
LEFT = ["-5", "+5", "-1.5e-3", "1,000", "-12%", "-", "a=b", "'tis", "", " =1", "5-3"]


@pytest.mark.parametrize("text", RUN)
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(text: str) -> None:
    table, count = without_formulas(pd.DataFrame({text: pd.Series([text, None, "a"], dtype="str")}))
    assert table.to_dict("list") == {f"'{text}": [f"'{text}", np.nan, "a"]} or table.iloc[0, 0] == f"'{text}"
    assert (list(table.columns), count) == ([f"'{text}"], 2)


@pytest.mark.parametrize("text", LEFT)
def test_numbers_and_other_texts_stay(text: str) -> None:
    table = pd.DataFrame({"a": pd.Series([text, "b"], dtype="str"), "n": [-5, 3]})
    safe, count = without_formulas(table)
    assert safe is table
    assert count == 0


def test_categories_and_mixed_columns_are_looked_at_too() -> None:
    table = pd.DataFrame({"c": pd.Categorical(["=1", "b"]), "m": pd.Series([-1, "=2"], dtype=object), "n": [-1.0, 2.0]})
    safe, count = without_formulas(table)
    assert safe.to_dict("list") == {"c": ["'=1", "b"], "m": [-1, "'=2"], "n": [-1.0, 2.0]}
    assert count == 2
    assert safe["n"].dtype == np.float64


TEXTS = st.text(alphabet="=+-@'\t\r\n\uff1da1,.%e", max_size=6)


@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS.filter(bool))
def test_nothing_is_lost(texts: list[str], name: str) -> None:
    table = pd.DataFrame({name: pd.Series(texts, dtype="str")})
    safe, _ = without_formulas(table)
    cells = [cell for line in csv.reader(io.StringIO(to_csv(safe), newline="")) for cell in line]
    assert not [cell for cell in cells if cell[:1] in {*"=@\t\r\n\uff1d"}]
    assert cells[1:] == safe.iloc[:, 0].tolist() or not all(texts)
    again, _ = with_formulas(safe)
    assert (list(again.columns), again[name].tolist()) == ([name], texts)
