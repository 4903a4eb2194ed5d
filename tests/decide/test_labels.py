import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.decide.labels import minimum_cost, top_k
from crossent.errors import SettingError, ShapeError


def draw(rows: int, class_count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(class_count), size=rows)


@given(st.integers(2, 8), st.integers(0, 1000))
def test_costs_of_0_and_1_give_the_most_probable_class(class_count: int, seed: int) -> None:
    probs = draw(50, class_count, seed)
    np.testing.assert_array_equal(minimum_cost(probs, 1 - np.eye(class_count)), probs.argmax(axis=1))


@given(st.integers(2, 6), st.integers(0, 1000))
def test_no_other_class_costs_less(class_count: int, seed: int) -> None:
    probs, costs = draw(20, class_count, seed), np.random.default_rng(seed).exponential(size=(class_count, class_count))
    chosen = minimum_cost(probs, costs)
    for row in range(20):
        expected = [sum(probs[row, i] * costs[i, j] for i in range(class_count)) for j in range(class_count)]
        assert expected[chosen[row]] == pytest.approx(min(expected))


def test_rows_of_the_costs_are_true_classes() -> None:
    """To call a sick (1) person healthy costs 100; to call a healthy one sick costs 1."""
    costs = np.array([[0, 1], [100, 0]])
    assert minimum_cost(np.array([[0.98, 0.02], [0.995, 0.005]]), costs).tolist() == [1, 0]


def test_a_constant_for_a_true_class_changes_nothing() -> None:
    probs, costs = draw(100, 4, 0), np.random.default_rng(0).random((4, 4))
    np.testing.assert_array_equal(
        minimum_cost(probs, costs), minimum_cost(probs, costs + np.array([[1], [0], [5], [2]]))
    )


def test_bad_costs_get_one_error() -> None:
    probs = draw(3, 3, 0)
    with pytest.raises(ShapeError, match=r"3 true classes \(rows\) by 3 predicted classes.*\(3, 2\)"):
        minimum_cost(probs, np.zeros((3, 2)))
    with pytest.raises(SettingError, match=r"predicting class 2 if class 0 is true is -1"):
        minimum_cost(probs, [[0, 1, -1], [1, 0, 1], [1, 1, 0]])
    for bad in (np.nan, np.inf):
        with pytest.raises(SettingError, match="finite"):
            minimum_cost(probs, np.full((3, 3), bad))
    with pytest.raises(ShapeError, match="sum to 1"):
        minimum_cost(2 * probs, 1 - np.eye(3))


@given(st.integers(2, 8), st.integers(0, 1000))
def test_the_top_k_are_no_less_probable_than_the_others(class_count: int, seed: int) -> None:
    probs = draw(20, class_count, seed)
    k = seed % class_count + 1
    top = top_k(probs, k)
    ranked = np.sort(probs, axis=1)[:, ::-1]
    np.testing.assert_array_equal(np.take_along_axis(probs, top, axis=1), ranked[:, :k])


def test_of_equal_probabilities_the_first_classes_come_first() -> None:
    assert top_k(np.full((1, 4), 0.25), 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("k", [0, 4, 1.5, -1])
def test_k_outside_its_bounds(k: float) -> None:
    with pytest.raises(SettingError, match="from 1 to the number of classes, 3"):
        top_k(draw(2, 3, 0), k)
