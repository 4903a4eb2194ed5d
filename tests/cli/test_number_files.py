import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossent.cli.number_files import agreed, open_numbers
from crossent.errors import DataError

LOGITS = np.array([[0.5, 2.0, -1.0], [1.5, 0.0, 1e-3], [3.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
LABELS = np.array([1, 0, 0, 2])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def as_csv(values: np.ndarray, *, header: bool | list[str]) -> str:
    text = io.StringIO()
    pd.DataFrame(values).to_csv(text, index=False, header=header)
    return text.getvalue()


@pytest.mark.parametrize(
    ("header", "named", "certain"),
    [(False, False, False), (["a", "b", "c"], True, True), (True, True, False), (["0", "1", "class 2"], True, True)],
)
def test_the_first_line_is_told_by_what_it_holds(
    tmp_path: Path, header: bool | list[str], *, named: bool, certain: bool
) -> None:
    file = open_numbers(write(tmp_path / "logits.csv", as_csv(LOGITS, header=header)), "auto")
    assert (file.named, file.certain, file.rows) == (named, certain, 4)
    assert (file.note() is None) == certain
    np.testing.assert_array_equal(file.values(), LOGITS)


@pytest.mark.parametrize("first_line", ["0.5,2,-1", "1,2,3", "-inf,1e5,2", "2,1,0", "0.5,0.5,0.5"])
def test_a_line_of_numbers_is_a_row(tmp_path: Path, first_line: str) -> None:
    file = open_numbers(write(tmp_path / "logits.csv", f"{first_line}\n0,0,0\n"), "auto")
    np.testing.assert_array_equal(file.values()[0], [float(field) for field in first_line.split(",")])
    assert file.rows == 2


@pytest.mark.parametrize("logits_header", [False, True, ["a", "b", "c"]])
@pytest.mark.parametrize("labels_header", [False, True, ["label"]])
def test_the_file_of_labels_settles_what_the_first_line_is(
    tmp_path: Path, logits_header: bool | list[str], labels_header: bool | list[str]
) -> None:
    # Without a look at the other file, a first row 0, 1, 2 and a label 0 are names as pandas gives them.
    for rows in (slice(None), slice(None, None, -1)):
        pair = agreed(
            open_numbers(write(tmp_path / "logits.csv", as_csv(LOGITS[rows], header=logits_header)), "auto"),
            open_numbers(write(tmp_path / "labels.csv", as_csv(LABELS[rows], header=labels_header)), "auto"),
        )
        if logits_header is False and labels_header is True and rows.step == -1:
            # A label more than there are rows is the one reading that both files have in common.
            assert [file.rows for file in pair] == [4, 4]
        np.testing.assert_array_equal(pair[0].values(), LOGITS[rows])
        np.testing.assert_array_equal(pair[1].values()[:, 0], LABELS[rows])


@pytest.mark.parametrize(("header", "rows"), [("yes", 3), ("no", 4)])
def test_the_user_overrules(tmp_path: Path, header: str, rows: int) -> None:
    path = write(tmp_path / "logits.csv", as_csv(LOGITS, header=False))
    file = open_numbers(path, header)  # type: ignore[arg-type]
    assert (file.rows, len(file.values()), file.note()) == (rows, rows, None)


def test_a_column_that_counts_the_rows_is_no_class(tmp_path: Path) -> None:
    pd.DataFrame(LOGITS).to_csv(tmp_path / "logits.csv")
    with pytest.raises(DataError, match="has no name and counts the rows"):
        open_numbers(tmp_path / "logits.csv", "auto").values()


@pytest.mark.parametrize("text", ["a,b\n", "a,b\n1,x\n"])
def test_words_and_names_alone_are_no_numbers(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"logits\.csv"):
        open_numbers(write(tmp_path / "logits.csv", text), "auto").values()
