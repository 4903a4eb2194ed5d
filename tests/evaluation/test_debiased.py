import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from crossent.errors import ShapeError
from crossent.evaluation.calibration import bin_of, reliability
from crossent.evaluation.debiased import (
    debiased_classwise_error,
    debiased_top_label_error,
    squared_calibration_error,
)

seeds = st.integers(0, 2**32 - 1)


def naive(probability, outcome, bins):
    """The mean over ordered pairs of rows in one bin, weighted by the share of the bin."""
    bin_index = bin_of(probability, bins)
    total = 0.0
    for b in range(bins):
        gap = (outcome - probability)[bin_index == b]
        pairs = [gap[i] * gap[j] for i in range(len(gap)) for j in range(len(gap)) if i != j]
        total += len(gap) / len(probability) * (np.mean(pairs) if pairs else 0.0)
    return total


@given(seeds, st.integers(2, 30), st.integers(1, 6))
def test_agrees_with_a_loop_over_pairs(seed, rows, bins):
    rng = np.random.default_rng(seed)
    probability, outcome = rng.random(rows), rng.random(rows) < 0.5
    assert_allclose(
        squared_calibration_error(probability, outcome, bins), naive(probability, outcome, bins), atol=1e-12
    )


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_is_unbiased_on_few_rows_where_the_plain_error_is_not(shift):
    rng = np.random.default_rng(0)
    debiased, plain = [], []
    for _ in range(4000):
        probability = np.repeat([0.1, 0.5, 0.8], 5)
        outcome = rng.random(15) < probability + shift
        debiased.append(squared_calibration_error(probability, outcome, bins=3))
        diagram = reliability(probability, outcome, bins=3)
        plain.append(np.mean((diagram.frequency - diagram.confidence) ** 2))
    assert_allclose(np.mean(debiased), shift**2, atol=4 * np.std(debiased) / np.sqrt(4000))
    assert np.mean(plain) > shift**2 + 0.02


def test_agrees_with_the_published_estimator_where_a_bin_has_one_probability():
    # Kumar et al. take frequency * (1 - frequency) / (count - 1) off the squared distance in each bin.
    probability, outcome = np.repeat([0.3, 0.9], [6, 4]), np.array([1, 1, 0, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    by_hand = 0.6 * ((0.3 - 1 / 3) ** 2 - 1 / 3 * 2 / 3 / 5) + 0.4 * ((0.9 - 0.75) ** 2 - 0.75 * 0.25 / 3)
    assert_allclose(squared_calibration_error(probability, outcome, bins=2), by_hand)


def test_large_samples_give_the_true_distance():
    rng = np.random.default_rng(1)
    probs = np.tile([0.6, 0.3, 0.1], (50_000, 1))
    target = rng.choice(3, p=[0.5, 0.3, 0.2], size=50_000)
    assert_allclose(debiased_top_label_error(probs, target), 0.1, atol=0.01)
    assert_allclose(debiased_classwise_error(probs, target), np.sqrt(0.02 / 3), atol=0.01)


def test_one_row_has_no_error_and_bad_input_is_named():
    assert np.isnan(debiased_top_label_error(np.array([[0.5, 0.5]]), np.array([0])))
    assert np.isnan(debiased_classwise_error(np.array([[0.5, 0.5]]), np.array([0])))
    with pytest.raises(ShapeError, match="Row 0 holds 2"):
        debiased_classwise_error(np.array([[0.5, 0.5]]), np.array([2]))
