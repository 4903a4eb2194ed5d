import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_long_label_does_not_lengthen_the_others() -> None:
    values = pd.Series(["x" * 10**5, "a", "b"] * 1000)
    tracemalloc.start()
    codes, classes = encode_labels(labels_of(values), "y")
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 10e6
    assert (classes, codes[:3].tolist()) == (("a", "b", "x" * 10**5), [2, 0, 1])
    with pytest.raises(DataError) as caught:
        label_positions(pd.Series(["c" * 10**6]), classes)
    assert len(str(caught.value)) < 500


def test_labels_of_several_types_are_one_error_that_names_them() -> None:
    with pytest.raises(DataError, match="'y' holds int and str"):
        encode_labels(np.array([1, "a", 2], dtype=object), "y")
    with pytest.raises(DataError, match="'y' has none in row 2"):
        encode_labels(np.array(["a", None, "b"], dtype=object), "y")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (pd.Series([1, "a", 2.5], dtype=object), ("1", "2.5", "a")),
        (pd.Series([b"a", b"b"], dtype=object), ("a", "b")),
        (pd.Series([True, False], dtype=object), (False, True)),
        (pd.Series([2**63 + 1, 2**63, 3], dtype="uint64"), ("3", "9223372036854775808", "9223372036854775809")),
        (pd.Series([1e300, 2.0]), ("1e+300", "2.0")),
        (pd.Series(pd.Categorical([3, 1])), (1, 3)),
        (pd.Series(pd.to_datetime(["2020-01-02", "2020-01-01"])), ("2020-01-01", "2020-01-02")),
    ],
)
def test_odd_types_of_labels(values: "pd.Series[Any]", classes: tuple[object, ...]) -> None:
    codes, found = encode_labels(labels_of(values), "y")
    assert found == classes
    assert [type(label) for label in found] == [type(label) for label in classes]
    # The same rows are the same classes when the model is judged by them.
    assert label_positions(values, found).tolist() == codes.tolist()


@given(st.lists(st.text(max_size=3), min_size=2, max_size=19).filter(lambda texts: len(set(texts)) > 1))
def test_classes_are_sorted_and_codes_are_their_places(texts: list[str]) -> None:
    codes, classes = encode_labels(np.array(texts, dtype=object), "y")
    assert classes == tuple(sorted(set(texts)))
    assert [classes[code] for code in codes] == texts
