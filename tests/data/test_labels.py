import numpy as np
import pandas as pd
import pytest

from crossent.data.labels import encode_labels, label_positions, labels_of
from crossent.errors import DataError


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["3", "1", "2"], (1, 2, 3)),
        ([3.0, 1.0, 1.0], (1, 3)),
        ([True, False, True], (False, True)),
        (["b", " a", "b"], ("a", "b")),
        (["01", "1", "2"], ("01", "1", "2")),
        (["3.11", "3.12"] * 10, ("3.11", "3.12")),
    ],
)
def test_labels_keep_their_meaning(values: list[object], classes: tuple[object, ...]) -> None:
    codes, found = encode_labels(labels_of(pd.Series(values)), "y")
    assert found == classes
    cleaned = [value.strip() if isinstance(value, str) else value for value in values]
    assert [str(found[code]) for code in codes] == [str(value).removesuffix(".0") for value in cleaned]
    assert [type(label) for label in found] == [type(label) for label in classes]


def test_one_class_only_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match="one class only, 'a'"):
        encode_labels(np.array(["a", "a"]), "y")


def test_a_quantity_is_no_target() -> None:
    with pytest.raises(DataError, match="fractions"):
        labels_of(pd.Series([0.5, 1.5, 2.0]))
    with pytest.raises(DataError, match="100 different values in 100 rows"):
        encode_labels(np.arange(100), "y")


def test_positions_match_across_forms_of_one_label() -> None:
    assert label_positions(pd.Series(["2", "1"]), (1, 2)).tolist() == [1, 0]
    assert label_positions(pd.Series([2.0, 1.0]), (1, 2)).tolist() == [1, 0]
    assert label_positions(pd.Series(["True", "False"]), (False, True)).tolist() == [1, 0]


def test_unknown_label_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match=r"1 are not, the first in row 2: 'd'\."):
        label_positions(pd.Series(["a", "d"]), ("a", "b", "c"))
