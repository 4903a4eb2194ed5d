import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from crossent.errors import ShapeError
from crossent.evaluation.consistency import calibration_p_value, draw_labels, most_extreme_p_value


def draw(rng, rows, class_count, temperature=1.0, shift=0.0):
    """Probabilities at a temperature of 1 are right; a shift makes the first class too probable."""
    logits = 2 * rng.normal(size=(rows, class_count))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    logits[:, 0] += shift
    return scipy.special.softmax(logits / temperature, axis=1), target


@pytest.mark.parametrize(
    ("rows", "class_count"),
    [(8, 2), pytest.param(60, 5, marks=pytest.mark.slow), pytest.param(30, 40, marks=pytest.mark.slow)],
)
def test_p_values_of_calibrated_probabilities_are_uniform(rows, class_count):
    rng = np.random.default_rng(0)
    p_values = np.array([calibration_p_value(*draw(rng, rows, class_count), rng) for _ in range(200)])
    # Ties, where rows are few, can make p-values larger than uniform ones, never smaller.
    assert scipy.stats.kstest(p_values, "uniform", alternative="greater").pvalue > 0.01
    assert (p_values <= 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    if rows * class_count > 100:
        assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("temperature", "shift"), [(0.5, 0.0), (2.0, 0.0), (1.0, 1.5)])
def test_wrong_probabilities_are_found(temperature, shift):
    rng = np.random.default_rng(1)
    p_values = np.array([calibration_p_value(*draw(rng, 200, 4, temperature, shift), rng) for _ in range(40)])
    assert (p_values <= 0.05).mean() >= 0.9


@given(st.integers(0, 1000))
def test_labels_are_drawn_from_the_probabilities(seed):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(4, 0.5), size=2)
    probs[0, seed % 4] = 0.0
    probs /= probs.sum(axis=1, keepdims=True)
    drawn = np.array(draw_labels(probs, 400, rng))
    for row in (0, 1):
        counts = np.bincount(drawn[:, row], minlength=4)
        # By the exact law: that of a rare label is far from normal.
        assert (scipy.stats.binom.cdf(counts, 400, probs[row]) > 1e-8).all()
        assert (scipy.stats.binom.sf(counts - 1, 400, probs[row]) > 1e-8).all()


def test_ties_count_as_extreme_and_the_least_p_value_is_one_in_all():
    assert most_extreme_p_value(np.array([[3.0], [1.0], [1.0], [1.0]])) == 0.25
    assert most_extreme_p_value(np.ones((4, 2))) == 1.0


def test_an_impossible_label_gets_the_least_p_value():
    probs = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert calibration_p_value(probs, np.array([1, 0]), np.random.default_rng(0)) == 0.005


def test_bad_input_is_named():
    with pytest.raises(ShapeError, match="Row 0 holds 2"):
        calibration_p_value(np.array([[0.5, 0.5]]), np.array([2]), np.random.default_rng(0))
