from typing import Any

import numpy as np
import pandas as pd
import polars
import pytest

from crossent.data.soft_labels import draw_labels, is_distribution, read_distribution
from crossent.errors import DataError, ShapeError

SHARES = [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array(SHARES), True),
        (np.array(SHARES, np.float32), True),
        (SHARES, True),
        (pd.DataFrame(SHARES), True),
        (polars.DataFrame(SHARES, schema=["a", "b", "c"], orient="row"), True),
        (np.array([[0], [1]]), False),
        (np.array([[0.0], [1.0]]), False),
        (pd.DataFrame({"label": ["a", "b"]}), False),
        (np.array([0.0, 1.0]), False),
        (np.array([[0, 1], [1, 0]]), False),
        (["a", "b"], False),
        (pd.Series([0.5, 0.5]), False),
    ],
)
def test_tells_shares_from_labels(y: Any, expected: bool) -> None:
    assert is_distribution(y) is expected


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array(SHARES), (0, 1, 2)),
        (pd.DataFrame(SHARES, columns=["low", "high", "none"]), ("low", "high", "none")),
        (pd.DataFrame(SHARES, columns=[3, 1, 2]), (3, 1, 2)),
        (polars.DataFrame(SHARES, schema=["a", "b", "c"], orient="row"), ("a", "b", "c")),
    ],
)
def test_classes_are_the_columns_in_their_order(y: Any, classes: tuple[Any, ...]) -> None:
    shares, found = read_distribution(y)
    assert found == classes
    assert shares.dtype == np.float32
    np.testing.assert_array_equal(shares, np.array(SHARES, np.float32))


def test_rounded_shares_are_made_to_sum_to_one() -> None:
    shares, _ = read_distribution(np.array([[0.3333, 0.3333, 0.3333], [0.2, 0.3, 0.5]]))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        ([[0.5, 0.6], [0.5, 0.5]], ShapeError, "Row 0"),
        ([[0.5, 0.5], [1.5, -0.5]], ShapeError, "Row 1"),
        ([[0.5, 0.5], [np.nan, 1.0]], ShapeError, "Row 1"),
        ([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], DataError, "2 has no share"),
        (pd.DataFrame({"a": ["x", "y"], "b": ["z", "z"]}), DataError, "'a', 'b' are not all numbers"),
    ],
)
def test_what_is_not_a_distribution_is_named(y: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        read_distribution(y if isinstance(y, pd.DataFrame) else np.array(y))


def test_labels_are_drawn_by_their_shares() -> None:
    shares = np.repeat(np.array([[0.7, 0.0, 0.2, 0.1], [0.0, 1.0, 0.0, 0.0]], np.float32), 20_000, axis=0)
    target = draw_labels(shares, np.random.default_rng(0))
    counts = np.bincount(target[:20_000], minlength=4) / 20_000
    np.testing.assert_allclose(counts, [0.7, 0.0, 0.2, 0.1], atol=0.015)
    assert (target[20_000:] == 1).all()
