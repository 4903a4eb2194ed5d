import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from crossent.kinds.scale import Scale, learn_scale


def test_numbers_are_scaled_by_median_and_quartiles() -> None:
    numbers = np.array([0.0, 1, 2, 3, 4])
    (feature,) = learn_scale(numbers).encode(numbers)
    assert feature.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_missing_numbers_become_the_median_and_a_flag() -> None:
    numbers = np.array([0.0, 1, 2, 3, 4, np.nan])
    scale = learn_scale(numbers)
    feature, flag = scale.encode(numbers)
    assert scale.width == 2
    assert (feature[-1], flag.tolist()) == (0.0, [0.0] * 5 + [1.0])


def test_no_flag_where_nothing_is_missing_but_new_gaps_are_filled() -> None:
    scale = learn_scale(np.array([0.0, 1, 2]))
    assert scale.width == 1
    assert [feature.tolist() for feature in scale.encode(np.array([np.nan]))] == [[0.0]]


def test_long_tail_becomes_normal() -> None:
    values = np.random.default_rng(0).lognormal(0, 3, size=5000)
    (feature,) = learn_scale(values).encode(values)
    assert scipy.stats.kstest(feature, "norm").statistic < 0.02


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=60))
def test_order_is_kept_and_all_is_finite(values: list[float]) -> None:
    (feature,) = learn_scale(np.array(values)).encode(np.array(values))
    assert np.isfinite(feature).all()
    assert (np.diff(feature[np.argsort(values, kind="stable")]) >= 0).all()


def test_values_far_outside_training_stay_bounded() -> None:
    for values in ([0.0, 1, 2, 3, 4], [0.0, 1, 2, 3, 1e6]):
        (feature,) = learn_scale(np.array(values)).encode(np.array([1e30, -1e30, 1e308]))
        assert np.abs(feature).max() <= 100


def test_a_scale_that_is_none_is_refused() -> None:
    none = np.empty(0)
    with pytest.raises(ValueError, match="must be above 0"):
        Scale(0.0, 0.0, none, none, False)
    with pytest.raises(ValueError, match="do not fit"):
        Scale(0.0, 1.0, np.array([1.0]), none, False)
    with pytest.raises(ValueError, match="its knots rise"):
        Scale(0.0, 1.0, np.array([1.0, 0.0]), np.zeros(2), False)
