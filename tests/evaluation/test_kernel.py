import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from crossent.errors import ShapeError
from crossent.evaluation import kernel
from crossent.evaluation.kernel import deal_blocks, kernel_calibration_error, median_distance, pair_products


def draw(rng, rows, class_count, power=1.0):
    probs = rng.dirichlet(np.ones(class_count), size=rows)
    target = (np.log(probs) + rng.gumbel(size=probs.shape)).argmax(axis=1)
    sharpened = probs**power
    return sharpened / sharpened.sum(axis=1, keepdims=True), target


def naive(probs, target):
    """The definition, one pair of rows after the other."""
    rows, class_count = probs.shape
    pairs = [(i, j) for i in range(rows) for j in range(i + 1, rows)]
    bandwidth = np.median([np.linalg.norm(probs[i] - probs[j]) for i, j in pairs])
    total = 0.0
    for i, j in pairs:
        misses = (np.eye(class_count)[target[i]] - probs[i]) @ (np.eye(class_count)[target[j]] - probs[j])
        total += np.exp(-np.linalg.norm(probs[i] - probs[j]) / bandwidth) * misses
    return total / len(pairs)


@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(2, 5))
def test_agrees_with_the_definition(seed, rows, class_count):
    rng = np.random.default_rng(seed)
    probs, target = draw(rng, rows, class_count)
    found = kernel_calibration_error(probs, target, rng).value
    assert_allclose(found, np.sqrt(max(0.0, naive(probs, target))), atol=1e-6)


def test_squared_error_is_unbiased_where_probabilities_are_right():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(1000):
        probs, target = draw(rng, 12, 3)
        values.append(pair_products(probs, target, 0.5).sum() / (12 * 11))
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(1000)


def test_blocks_estimate_what_all_pairs_do(monkeypatch):
    rng = np.random.default_rng(0)
    probs, target = draw(rng, 2000, 4, power=3.0)
    whole = kernel_calibration_error(probs, target, rng)
    monkeypatch.setattr(kernel, "PAIRS", 200_000)
    assert deal_blocks(2000, rng).shape == (10, 200)
    blocks = kernel_calibration_error(probs, target, rng)
    assert_allclose(blocks.value, whole.value, rtol=0.1)
    # They hold a tenth of the pairs, and tell nearly as much where the error is far from 0.
    assert whole.draws.std() < blocks.draws.std() < 2 * whole.draws.std()


def test_resamples_are_those_of_repeated_rows_without_their_pairs_with_themselves():
    rng = np.random.default_rng(3)
    probs, target = draw(rng, 30, 3, power=4.0)
    draws = kernel_calibration_error(probs, target, np.random.default_rng(0)).draws
    products = pair_products(probs, target, median_distance(probs))
    by_row = []
    for _ in range(2000):
        rows = rng.integers(30, size=30)
        by_row.append(np.sqrt(max(0.0, products[np.ix_(rows, rows)].sum() / (30 * 29))))
    assert_allclose(np.quantile(draws, [0.1, 0.5, 0.9]), np.quantile(by_row, [0.1, 0.5, 0.9]), atol=0.02)


@pytest.mark.parametrize("rows", [2, 200, 2000, 2001, 3000, 100_001, 1_000_000])
def test_blocks_hold_nearly_all_rows_once(rows):
    blocks = deal_blocks(rows, np.random.default_rng(0))
    assert len(np.unique(blocks)) == blocks.size > rows - len(blocks)


def test_rows_that_are_all_the_same_have_a_bandwidth():
    assert median_distance(np.tile([0.9, 0.1], (5, 1))) == 1.0
    found = kernel_calibration_error(np.tile([0.9, 0.1], (4, 1)), np.array([0, 0, 1, 1]), np.random.default_rng(0))
    # Two rows with gaps (0.1, -0.1) and two with (-0.9, 0.9): pairs of 0.02, 1.62 and four of -0.18.
    assert_allclose(found.value, np.sqrt((0.02 + 1.62 - 4 * 0.18) / 6))


def test_one_row_has_no_error_and_bad_input_is_named():
    assert np.isnan(kernel_calibration_error(np.array([[0.5, 0.5]]), np.array([0]), np.random.default_rng(0)).value)
    with pytest.raises(ShapeError, match="Row 0 holds 2"):
        kernel_calibration_error(np.array([[0.5, 0.5]]), np.array([2]), np.random.default_rng(0))
