import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from crossent.errors import SettingError, ShapeError
from crossent.losses.weights import balanced_class_weight, effective_number_class_weight


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=30))
def test_balanced_weights_are_those_of_scikit_learn(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    np.testing.assert_allclose(balanced_class_weight(counts), expected, rtol=1e-12)


def test_effective_numbers_by_hand() -> None:
    # With beta 1/2, three rows count as 1 + 1/2 + 1/4, one row as 1.
    weight = effective_number_class_weight([3, 1], beta=0.5)
    assert weight[1] / weight[0] == pytest.approx(1.75)
    assert weight @ [3, 1] / 4 == pytest.approx(1.0)


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=30))
def test_effective_numbers_lie_between_no_weights_and_balanced_ones(counts: list[int]) -> None:
    balanced = balanced_class_weight(counts)
    np.testing.assert_allclose(effective_number_class_weight(counts, 0.0), 1.0)
    np.testing.assert_allclose(effective_number_class_weight(counts, 1 - 1e-10), balanced, rtol=1e-4)
    ratio = effective_number_class_weight(counts, 0.99)
    # The fewer rows a class has, the more each counts.
    assert (np.diff(ratio[np.argsort(counts, kind="stable")]) <= 1e-9).all()


@pytest.mark.parametrize("weights", [balanced_class_weight, effective_number_class_weight])
def test_a_class_without_rows_counts_as_none(weights: type) -> None:
    np.testing.assert_allclose(weights([30, 0, 10])[[0, 2]], weights([30, 10]))
    assert weights([30, 0, 10])[1] == 1.0


@pytest.mark.parametrize("counts", [[-1, 2], [[1, 2]], [0, 0], [np.nan, 1], [np.inf, 1], []])
def test_what_are_no_counts_is_refused(counts: list[float]) -> None:
    with pytest.raises(ShapeError, match="bincount"):
        balanced_class_weight(counts)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 2.0, float("nan")])
def test_beta_has_bounds(beta: float) -> None:
    with pytest.raises(SettingError, match="beta"):
        effective_number_class_weight([1, 2], beta)
