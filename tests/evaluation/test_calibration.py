import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import calibration_curve

from crossent.errors import SettingError, ShapeError
from crossent.evaluation.calibration import (
    bin_of,
    calibration_error,
    classwise_calibration_error,
    reliability,
    top_label,
    top_label_calibration_error,
    wilson_interval,
)

seeds = st.integers(0, 2**32 - 1)


def draw_calibrated(rng, rows, class_count):
    probs = rng.dirichlet(np.ones(class_count), size=rows)
    return probs, (np.log(probs) + rng.gumbel(size=probs.shape)).argmax(axis=1)


@given(seeds, st.integers(1, 20))
def test_reliability_agrees_with_scikit_learn(seed, bins):
    rng = np.random.default_rng(seed)
    probability = rng.random(50)
    outcome = rng.random(50) < probability
    diagram = reliability(probability, outcome, bins)
    frequency, confidence = calibration_curve(outcome, probability, n_bins=bins)
    filled = diagram.count > 0
    assert_allclose(diagram.frequency[filled], frequency)
    assert_allclose(diagram.confidence[filled], confidence)
    assert diagram.count.sum() == 50


def test_a_bin_holds_its_upper_edge_and_the_first_its_lower_too():
    assert_array_equal(bin_of(np.array([0.0, 0.25, np.nextafter(0.25, 1), 0.75, 1.0]), 4), [0, 0, 1, 2, 3])


@pytest.mark.parametrize("bins", [1, 3, 7, 10, 15])
def test_edges_of_the_diagram_are_those_of_the_bins(bins):
    edges = reliability(np.array([0.5]), np.array([True]), bins).edges
    assert_array_equal(bin_of(edges[1:], bins), np.arange(bins))
    assert_array_equal(bin_of(np.nextafter(edges[:-1], 1), bins), np.arange(bins))


def test_confidence_one_falls_in_the_last_bin():
    diagram = reliability(np.array([1.0, np.float32(1) + np.float32(1e-6)]), np.array([True, True]))
    assert (diagram.count[-1], diagram.count.sum()) == (2, 2)


def test_empty_bins_are_nan():
    diagram = reliability(np.array([0.9]), np.array([True]), bins=2)
    for figure in (diagram.confidence, diagram.frequency, diagram.low, diagram.high):
        assert_array_equal(np.isnan(figure), [True, False])


@given(st.integers(1, 500), st.data())
def test_wilson_interval_agrees_with_scipy(count, data):
    happened = data.draw(st.integers(0, count))
    low, high = wilson_interval(np.array([happened]), np.array([count]))
    expected = scipy.stats.binomtest(happened, count).proportion_ci(0.95, method="wilson")
    assert_allclose([low[0], high[0]], [expected.low, expected.high], rtol=1e-10, atol=1e-12)
    assert 0 <= low[0] <= happened / count <= high[0] <= 1


def test_hand_worked_calibration_error():
    # Two bins. (0, 0.5]: confidence 0.3, frequency 1/2, two rows. (0.5, 1]: confidence 0.8, frequency 1/3, three rows.
    probability = np.array([0.2, 0.4, 0.7, 0.8, 0.9])
    outcome = np.array([True, False, True, False, False])
    expected = 2 / 5 * 0.2 + 3 / 5 * (0.8 - 1 / 3)
    assert_allclose(calibration_error(reliability(probability, outcome, bins=2)), expected)


def test_hand_worked_top_label_and_classwise_errors():
    probs = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    target = np.array([0, 0])
    # One bin. Top label: confidence 0.7, half right. Classes: |1 - 0.35|, |0 - 0.55|, |0 - 0.1|.
    assert_allclose(top_label_calibration_error(probs, target, bins=1), 0.2)
    assert_allclose(classwise_calibration_error(probs, target, bins=1), (0.65 + 0.55 + 0.1) / 3)
    assert_allclose(top_label(probs, target, bins=1).frequency, [0.5])


def test_calibrated_probabilities_have_a_small_error_and_sharpened_ones_have_not():
    probs, target = draw_calibrated(np.random.default_rng(0), 40_000, 4)
    sharpened = probs**3 / (probs**3).sum(axis=1, keepdims=True)
    assert top_label_calibration_error(probs, target) < 0.015
    assert classwise_calibration_error(probs, target) < 0.015
    assert top_label_calibration_error(sharpened, target) > 0.1
    assert classwise_calibration_error(sharpened, target) > 0.05


@given(seeds, st.integers(1, 40), st.integers(2, 6))
def test_the_order_of_rows_and_of_classes_changes_nothing(seed, rows, class_count):
    rng = np.random.default_rng(seed)
    probs, target = draw_calibrated(rng, rows, class_count)
    order, columns = rng.permutation(rows), rng.permutation(class_count)
    moved = probs[order][:, columns], np.argsort(columns)[target[order]]
    assert_allclose(top_label_calibration_error(*moved), top_label_calibration_error(probs, target), atol=1e-12)
    assert_allclose(classwise_calibration_error(*moved), classwise_calibration_error(probs, target), atol=1e-12)


@given(arrays(float, st.integers(1, 30), elements=st.floats(0, 1)), st.data())
def test_the_error_is_a_share_and_at_least_the_overall_gap(probability, data):
    outcome = data.draw(arrays(bool, probability.shape))
    error = calibration_error(reliability(probability, outcome))
    assert abs(outcome.mean() - probability.mean()) - 1e-12 <= error <= 1 + 1e-12


@pytest.mark.parametrize(
    ("probability", "outcome", "met"),
    [
        ([0.5, 1.2], [True, False], "Row 1 holds 1.2"),
        ([np.nan, 0.2], [True, False], "Row 0 holds nan"),
        ([0.5, 0.5], [True], r"\(2,\) of float64 and \(1,\)"),
        ([0.5, 0.5], [1, 0], "int64"),
        ([], [], r"\(0,\)"),
    ],
)
def test_bad_input_is_named(probability, outcome, met):
    with pytest.raises(ShapeError, match=met):
        reliability(np.array(probability, dtype=float), np.array(outcome))


def test_no_bins_are_refused():
    with pytest.raises(SettingError, match="bins is 0"):
        reliability(np.array([0.5]), np.array([True]), bins=0)
