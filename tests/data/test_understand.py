import datetime

import numpy as np
import pandas as pd
import pytest

from crossent.data.understand import conform, understand
from crossent.errors import DataError

ROWS = 100


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(0, 1, ROWS), "number"),
        ([str(x) for x in np.linspace(0, 1, ROWS)], "number"),
        ([0, 1] * 50, "number"),
        (["red", "blue"] * 50, "category"),
        (pd.Categorical([1, 2] * 50), "category"),
        ([True, False] * 50, "boolean"),
        (pd.array([True, None, False, True] * 25, dtype="boolean"), "boolean"),
        (pd.array([1, None, 7, 5] * 25, dtype="Int64"), "number"),
        (pd.to_timedelta(np.arange(ROWS) % 7, unit="D"), "number"),
        (pd.period_range("2024-01", periods=ROWS, freq="M"), "date"),
        (pd.cut(np.linspace(0, 1, ROWS), 3), "category"),
        (["yes", "No"] * 50, "boolean"),
        (["2024-01-01", "2024-03-05"] * 50, "date"),
        (["03/25/2024", "12/31/2023"] * 50, "date"),
        (["01.02.2024", "31.12.2023"] * 50, "date"),
        ([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 5, 1)] * 50, "date"),
        ([f"the {i}th review said that it was good value" for i in range(ROWS)], "text"),
        ([f"user-{i:03}" for i in range(ROWS)], "identifier"),
        (list(range(7, 7 + ROWS)), "identifier"),
        ([3.5] * ROWS, "constant"),
        ([None] * ROWS, "constant"),
        (["NA", ""] * 50, "constant"),
    ],
)
def test_kind_is_inferred(values: object, kind: str) -> None:
    frame = pd.DataFrame({"x": values, "other": np.sin(np.arange(ROWS))})
    _, columns = understand(frame, {})
    assert columns[0].kind == kind


def test_few_unreadable_values_are_read_as_missing_and_said() -> None:
    values = [str(i % 7) for i in range(98)] + ["oops", "?"]
    frame, columns = understand(pd.DataFrame({"x": values}), {})
    assert columns[0].kind == "number"
    assert "1 values are not numbers, the first 'oops' in row 99" in columns[0].note
    assert frame["x"].isna().sum() == 2


@pytest.mark.parametrize(
    ("values", "month"),
    [
        (["03/04/2024", "25/12/2023"], 4),
        (["03/04/2024", "12/25/2023"], 3),
        (["03.04.2024", "01.02.2024"], 4),
        (["03/04/2024", "01/02/2024"], 3),
    ],
)
def test_new_dates_are_read_as_the_training_dates_were(values: list[str], month: int) -> None:
    frame, columns = understand(pd.DataFrame({"when": values}), {})
    assert frame["when"].dt.month.iloc[0] == month
    assert conform(pd.DataFrame({"when": values[:1]}), columns)["when"].dt.month.iloc[0] == month


def test_half_numbers_half_names_become_names_and_say_so() -> None:
    frame, columns = understand(pd.DataFrame({"x": ["1", "2", "low", "high"] * 10}), {})
    assert columns[0].kind == "category"
    assert "50%" in columns[0].note
    assert set(frame["x"]) == {"1", "2", "low", "high"}


def test_mixed_python_types_become_names() -> None:
    frame, columns = understand(pd.DataFrame({"x": pd.Series([1, "one", 2.0, None] * 10, dtype=object)}), {})
    assert columns[0].kind == "category"
    assert columns[0].missing == 10
    assert set(frame["x"].dropna()) == {"1", "one", "2.0"}


def test_override_wins() -> None:
    values = {"zip": [10115, 80331, 20095, 10115]}
    frame, columns = understand(pd.DataFrame(values), {"zip": "category"})
    assert columns[0].kind == "category"
    assert frame["zip"].tolist() == ["10115", "80331", "20095", "10115"]


@pytest.mark.parametrize(
    ("values", "overrides", "words"),
    [
        ({"x": [1.0, np.inf, 2.0]}, {}, "infinite.*row 2"),
        ({"x": ["1", "inf", "2"]}, {}, "infinite.*row 2"),
        ({"x": [1.0, 2.0]}, {"y": "number"}, "no column 'y'.*'x'"),
        ({"x": [1.0, 2.0]}, {"x": "colour"}, "'colour'"),
        ({"x": ["a", "b"]}, {"x": "number"}, "must hold numbers.*'a' in row 1"),
        ({"x": [1, 1], "z": [None, None]}, {}, "'x' is constant.*'z' is constant"),
        ({"x": [[1], [2]]}, {}, "holds a list"),
        ({"x": [1j, 2j]}, {}, "Complex"),
    ],
)
def test_bad_columns_get_one_error(values: dict[str, list[object]], overrides: dict[str, str], words: str) -> None:
    with pytest.raises(DataError, match=f"(?s){words}"):
        understand(pd.DataFrame(values), overrides)


def test_conform_takes_columns_in_any_order_and_ignores_others() -> None:
    train = pd.DataFrame({"size": [1.0, 2.0, 3.0], "colour": ["red", "blue", "red"]})
    converted, columns = understand(train, {})
    shuffled = train.assign(extra=0)[["extra", "colour", "size"]]
    pd.testing.assert_frame_equal(conform(shuffled, columns), converted)


def test_conform_reads_texts_as_numbers_and_numbers_as_categories() -> None:
    _, columns = understand(pd.DataFrame({"size": [1.0, 2.5], "zip": ["0123", "x"]}), {})
    frame = conform(pd.DataFrame({"size": ["1", "7.5"], "zip": [123, 5]}), columns)
    assert frame["size"].tolist() == [1.0, 7.5]
    assert frame["zip"].tolist() == ["123", "5"]


def test_conform_names_a_missing_column_and_its_likeness() -> None:
    _, columns = understand(pd.DataFrame({"size": [1.0, 2.0], "colour": ["red", "blue"]}), {})
    with pytest.raises(DataError, match=r"Missing: 'colour'.*Is 'color' meant"):
        conform(pd.DataFrame({"size": [1.0], "color": ["red"]}), columns)


def test_conform_refuses_another_type() -> None:
    _, columns = understand(pd.DataFrame({"size": [1.0, 2.0]}), {})
    with pytest.raises(DataError, match=r"'size' must hold numbers.*'big' in row 1"):
        conform(pd.DataFrame({"size": ["big", "small"]}), columns)
    with pytest.raises(DataError, match="infinite"):
        conform(pd.DataFrame({"size": [np.inf]}), columns)


@pytest.mark.parametrize(
    "texts",
    [
        [f"这是第{i}条评论,东西很好,我很喜欢" for i in range(60)],
        [f"ครั้งที่{i}ฉันชอบสิ่งนี้มากและจะซื้ออีก" for i in range(60)],
    ],
    ids=["Chinese", "Thai"],
)
def test_text_without_spaces_is_text(texts: list[str]) -> None:
    _, (column,) = understand(pd.DataFrame({"review": texts}), {})
    assert column.kind == "text"
