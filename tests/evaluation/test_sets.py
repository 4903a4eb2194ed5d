import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from crossent.errors import ShapeError
from crossent.evaluation.sets import evaluate_sets


def test_hand_worked_sets():
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]], dtype=bool)
    result = evaluate_sets(sets, np.array([0, 1, 1, 1]), ("a", "b", "c"))
    assert (result.rows, result.coverage.value, result.mean_size.value) == (4, 0.75, 1.5)
    assert_array_equal(result.size_counts, [1, 1, 1, 1])
    first, second, absent = result.classes
    assert (first.label, first.support, first.coverage.value, first.mean_size.value) == ("a", 1, 1.0, 1.0)
    assert np.isnan(first.mean_size.low)
    assert_allclose([second.coverage.value, second.mean_size.value], [2 / 3, 5 / 3])
    assert absent.support == 0
    assert np.isnan([absent.coverage.value, absent.coverage.low, absent.mean_size.value]).all()


@given(arrays(bool, st.tuples(st.integers(2, 40), st.integers(2, 5))), st.data())
def test_intervals_agree_with_scipy_and_parts_add_up(sets, data):
    rows, class_count = sets.shape
    target = data.draw(arrays(np.int64, rows, elements=st.integers(0, class_count - 1)))
    result = evaluate_sets(sets, target, tuple(range(class_count)))
    covered = int(sets[np.arange(rows), target].sum())
    wilson = scipy.stats.binomtest(covered, rows).proportion_ci(0.95, method="wilson")
    assert_allclose([result.coverage.low, result.coverage.high], [wilson.low, wilson.high], atol=1e-12)
    assert result.size_counts @ np.arange(class_count + 1) == sets.sum()
    parts = [(each.support, each.coverage.value, each.mean_size.value) for each in result.classes if each.support]
    assert_allclose(sum(n * coverage for n, coverage, _ in parts), covered)
    assert_allclose(sum(n * size for n, _, size in parts), sets.sum())


@pytest.mark.parametrize(
    ("sets", "target", "met"),
    [
        (np.ones((2, 3), dtype=int), [0, 0], "int64 of shape"),
        (np.ones((2, 2), dtype=bool), [0, 0], r"\(2, 2\)"),
        (np.ones((0, 3), dtype=bool), [], r"\(0, 3\)"),
        (np.ones((2, 3), dtype=bool), [0], r"\(2, 3\) and \(1,\)"),
        (np.ones((2, 3), dtype=bool), [0, 3], "Row 1 holds 3"),
    ],
)
def test_bad_input_is_named(sets, target, met):
    with pytest.raises(ShapeError, match=met):
        evaluate_sets(sets, np.array(target, dtype=np.int64), ("a", "b", "c"))
