import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from crossent.errors import ShapeError
from crossent.evaluation import metrics


def draw(seed, rows, class_count):
    """Random probabilities and labels; the label is told by the probabilities, loosely."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(class_count, 0.7), size=rows)
    target = (np.log(probs) + rng.gumbel(size=probs.shape)).argmax(axis=1)
    return probs, target


cases = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 7))


@given(cases)
def test_proper_scores_agree_with_scikit_learn(case):
    probs, target = draw(*case)
    labels = list(range(probs.shape[1]))
    assert_allclose(
        metrics.log_loss(np.log(probs), target), sklearn.metrics.log_loss(target, probs, labels=labels), rtol=1e-10
    )
    expected = sklearn.metrics.brier_score_loss(target, probs, labels=labels, scale_by_half=False)
    assert_allclose(metrics.brier(probs, target), expected, rtol=1e-10)


@given(cases)
def test_figures_of_the_confusion_matrix_agree_with_scikit_learn(case):
    probs, target = draw(*case)
    labels, predicted = list(range(probs.shape[1])), probs.argmax(axis=1)
    confusion = metrics.confusion_matrix(target, predicted, len(labels))
    assert_array_equal(confusion, sklearn.metrics.confusion_matrix(target, predicted, labels=labels))

    counts = metrics.class_counts(confusion)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of predicted classes that do not occur
        balanced = sklearn.metrics.balanced_accuracy_score(target, predicted)
    assert_allclose(metrics.accuracy(counts), sklearn.metrics.accuracy_score(target, predicted))
    assert_allclose(metrics.balanced_accuracy(counts), balanced)
    assert_allclose(
        metrics.macro_f1(counts), sklearn.metrics.f1_score(target, predicted, average="macro", zero_division=0)
    )
    expected = sklearn.metrics.precision_recall_fscore_support(target, predicted, labels=labels, zero_division=np.nan)
    assert_allclose(metrics.precision(counts), expected[0])
    assert_allclose(metrics.recall(counts), expected[1])
    assert_allclose(metrics.f1(counts), expected[2])


def test_hand_worked_confusion_with_an_absent_and_a_never_predicted_class():
    # True 0 0 0 1 1, predicted 0 0 3 0 0: class 1 is never predicted, 3 never occurs, 2 does neither.
    confusion = metrics.confusion_matrix(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 3, 0, 0]), 4)
    counts = metrics.class_counts(confusion)
    assert_allclose(metrics.precision(counts), [1 / 2, np.nan, np.nan, 0])
    assert_allclose(metrics.recall(counts), [2 / 3, 0, np.nan, np.nan])
    assert_allclose(metrics.f1(counts), [4 / 7, 0, np.nan, 0])
    assert_allclose(metrics.accuracy(counts), 2 / 5)
    assert_allclose(metrics.balanced_accuracy(counts), 1 / 3)
    assert_allclose(metrics.macro_f1(counts), 4 / 21)


def test_one_call_serves_many_confusion_matrices():
    singles = [metrics.class_counts(np.array(cells)) for cells in ([[2, 1], [0, 3]], [[0, 0], [4, 1]])]
    stacked = metrics.ClassCounts(
        correct=np.stack([single.correct for single in singles]),
        actual=np.stack([single.actual for single in singles]),
        predicted=np.stack([single.predicted for single in singles]),
    )
    for figure in (metrics.accuracy, metrics.macro_f1, metrics.balanced_accuracy, metrics.recall, metrics.f1):
        assert_allclose(figure(stacked), [figure(single) for single in singles])


def test_log_loss_is_infinite_once_something_impossible_happened():
    log_probs = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    assert metrics.log_loss(log_probs, np.array([0, 1])) == np.inf


def test_sure_and_right_costs_plus_zero():
    loss = metrics.log_loss(np.array([[0.0, -np.inf]]), np.array([0]))
    assert (loss, np.signbit(loss)) == (0.0, False)


def test_brier_reaches_two_for_sure_and_wrong():
    assert metrics.brier(np.array([[1.0, 0.0, 0.0]]), np.array([2])) == 2.0


def test_float32_scores_are_averaged_in_float64():
    # float32 cannot hold 2**24 + 1, so a float32 sum of this many equal terms no longer grows.
    log_probs = np.full((300_000, 2), np.log(np.float32(0.5)), dtype=np.float32)
    loss = metrics.log_loss(log_probs, np.zeros(300_000, dtype=np.int64))
    assert_allclose(loss, -float(log_probs[0, 0]), rtol=1e-13)


@pytest.mark.parametrize(
    ("shape", "target", "met"),
    [
        ((2, 3), [0], r"\(2, 3\) and \(1,\)"),
        ((2,), [0, 1], r"\(2,\) and \(2,\)"),
        ((0, 3), [], r"\(0, 3\) and \(0,\)"),
        ((2, 3), [0, 3], "Row 1 holds 3"),
        ((2, 3), [-1, 2], "Row 0 holds -1"),
    ],
)
@pytest.mark.parametrize("score", [metrics.log_loss, metrics.brier])
def test_bad_input_is_named(score, shape, target, met):
    with pytest.raises(ShapeError, match=met):
        score(np.zeros(shape), np.array(target, dtype=np.int64))


def test_labels_in_place_of_positions_are_refused():
    with pytest.raises(ShapeError, match="float64"):
        metrics.log_loss(np.zeros((2, 3)), np.array([0.0, 1.0]))
