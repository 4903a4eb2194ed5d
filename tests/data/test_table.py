import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from crossent.data.kinds import understand
from crossent.data.table import MISSING, RARE, RESERVED, UNSEEN, Features, TableEncoder, fit_table_encoder


def fitted(frame: pd.DataFrame) -> tuple[TableEncoder, Features]:
    converted, columns = understand(frame, {})
    encoder = fit_table_encoder(converted, columns)
    return encoder, encoder.encode(converted)


def test_numbers_are_scaled_by_median_and_quartiles() -> None:
    _, features = fitted(pd.DataFrame({"x": [0.0, 1, 2, 3, 4]}))
    assert features.numbers[:, 0].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_missing_numbers_become_the_median_and_a_flag() -> None:
    encoder, features = fitted(pd.DataFrame({"x": [0.0, 1, 2, 3, 4, np.nan]}))
    assert encoder.number_names == ("x", "x is missing")
    assert features.numbers[-1].tolist() == [0.0, 1.0]
    assert features.numbers[:-1, 1].tolist() == [0.0] * 5


def test_no_flag_where_nothing_is_missing_but_new_gaps_are_filled() -> None:
    encoder, features = fitted(pd.DataFrame({"x": [0.0, 1, 2]}))
    assert features.numbers.shape == (3, 1)
    assert encoder.encode(pd.DataFrame({"x": [np.nan]})).numbers.tolist() == [[0.0]]


def test_long_tail_becomes_normal() -> None:
    values = np.random.default_rng(0).lognormal(0, 3, size=5000)
    _, features = fitted(pd.DataFrame({"x": values}))
    assert scipy.stats.kstest(features.numbers[:, 0], "norm").statistic < 0.02


@given(st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=60))
def test_order_is_kept_and_all_is_finite(values: list[float]) -> None:
    frame = pd.DataFrame({"x": values, "other": np.arange(len(values)) % 2})
    _, features = fitted(frame)
    encoded = features.numbers[:, 0] if len(set(values)) > 1 else np.zeros(len(values))
    assert np.isfinite(encoded).all()
    assert (np.diff(encoded[np.argsort(values, kind="stable")]) >= 0).all()


def test_values_far_outside_training_stay_bounded() -> None:
    encoder, _ = fitted(pd.DataFrame({"x": [0.0, 1, 2, 3, 4], "tail": [0.0, 1, 2, 3, 1e6]}))
    features = encoder.encode(pd.DataFrame({"x": [1e30, -1e30], "tail": [1e30, -1e30]}))
    assert np.abs(features.numbers).max() <= 100


def test_categories_know_missing_unseen_and_rare() -> None:
    colours = ["red"] * 5 + ["blue"] * 4 + ["pink", None]
    encoder, features = fitted(pd.DataFrame({"colour": colours, "x": range(11)}))
    assert features.codes[:, 0].tolist() == [RESERVED] * 5 + [RESERVED + 1] * 4 + [RARE, MISSING]
    assert features.cardinalities == (RESERVED + 2,)
    new = encoder.encode(pd.DataFrame({"colour": ["green", "pink", None, "blue"], "x": [0.0] * 4}))
    assert new.codes[:, 0].tolist() == [UNSEEN, RARE, MISSING, RESERVED + 1]
    assert encoder.unseen(pd.DataFrame({"colour": ["green", "pink", None], "x": [0.0] * 3})) == (
        "column 'colour': 1 rows hold values not seen in training: 'green'",
    )


def test_vocabulary_does_not_depend_on_the_order_of_rows(table: pd.DataFrame) -> None:
    first, _ = fitted(table)
    second, _ = fitted(table.sample(frac=1, random_state=1))
    assert first.categories == second.categories


def test_dates_become_parts() -> None:
    dates = ["2024-01-01 06:30", "2024-01-07 18:00", "2025-12-25 00:00", None]
    encoder, features = fitted(pd.DataFrame({"when": pd.to_datetime(dates)}))
    names = [name for name in encoder.number_names if "missing" not in name]
    assert names == ["when (days)", "when (year)", "when (hour)"]
    assert [(encoding.column, encoding.part) for encoding in encoder.categories] == [
        ("when", "month"),
        ("when", "weekday"),
    ]
    assert np.isfinite(features.numbers).all()
    assert features.codes[-1].tolist() == [MISSING, MISSING]


@pytest.mark.parametrize("kind", ["x", "colour"])
def test_one_kind_alone_is_enough(kind: str) -> None:
    frame = pd.DataFrame({"x": [1.0, 2, 3], "colour": ["red", "blue", "red"]})[[kind]]
    _, features = fitted(frame)
    assert len(features) == 3
    assert features.numbers.shape[1] + features.codes.shape[1] == 1
