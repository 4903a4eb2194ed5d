import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from crossent.calibration.temperature import best_temperature
from crossent.errors import ShapeError
from crossent.evaluation.metrics import log_loss
from crossent.evaluation.refinement import FOLDS, recalibrate


def draw(rng, rows, class_count, temperature=1.0):
    logits = 2 * rng.normal(size=(rows, class_count))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return scipy.special.log_softmax(logits / temperature, axis=1), target


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.3, 3))
def test_what_remains_does_not_depend_on_the_temperature_that_was_given(seed, temperature):
    rng = np.random.default_rng(seed)
    honest, target = draw(rng, 300, 3)
    given_ = scipy.special.log_softmax(honest / temperature, axis=1)
    first, second = (recalibrate(each, target, np.random.default_rng(0)) for each in (honest, given_))
    assert_allclose(first, second, atol=2e-3)


def test_no_row_has_a_say_in_its_own_recalibration():
    rng = np.random.default_rng(0)
    log_probs, target = draw(rng, 50, 3)
    fold = np.random.default_rng(1).permutation(50) % FOLDS
    found = recalibrate(log_probs, target, np.random.default_rng(1))
    for i in range(FOLDS):
        temperature = best_temperature(log_probs[fold != i].astype(np.float32), target[fold != i])
        expected = scipy.special.log_softmax(log_probs[fold == i] / temperature, axis=1)
        assert_allclose(found[fold == i], expected, atol=1e-5)


def test_it_is_not_optimistic():
    # Calibrated probabilities: the best temperature is 1, and one fitted to the rows themselves would seem to gain.
    rng = np.random.default_rng(2)
    cross_fitted, in_sample = [], []
    for _ in range(300):
        log_probs, target = draw(rng, 30, 3)
        honest = log_loss(log_probs, target)
        cross_fitted.append(log_loss(recalibrate(log_probs, target, rng), target) - honest)
        temperature = best_temperature(log_probs.astype(np.float32), target)
        in_sample.append(log_loss(scipy.special.log_softmax(log_probs / temperature, axis=1), target) - honest)
    assert np.mean(in_sample) < -0.003
    assert np.mean(cross_fitted) > -2 * np.std(cross_fitted) / np.sqrt(300)


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_few_rows_and_probabilities_of_zero_stay_finite(rows):
    log_probs = np.tile([0.0, -np.inf], (rows, 1))
    target = np.arange(rows) % 2
    found = recalibrate(log_probs, target, np.random.default_rng(0))
    assert np.isfinite(found).all()
    assert_allclose(np.exp(found).sum(axis=1), 1.0)


def test_the_same_seed_gives_the_same_parts():
    log_probs, target = draw(np.random.default_rng(0), 40, 3)
    first, second = (recalibrate(log_probs, target, np.random.default_rng(5)) for _ in range(2))
    assert_array_equal(first, second)


def test_bad_input_is_named():
    with pytest.raises(ShapeError, match="Row 0 holds 2"):
        recalibrate(np.log([[0.5, 0.5], [0.5, 0.5]]), np.array([2, 0]), np.random.default_rng(0))
