import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.special
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from crossent.errors import ShapeError
from crossent.evaluation import calibration, debiased, metrics
from crossent.evaluation.catalogue import METRICS
from crossent.evaluation.evaluate import evaluate, evaluate_log_probs, to_json


def draw_calibrated(seed, rows, class_count):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, class_count))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return scipy.special.log_softmax(logits, axis=1), target


def evaluate_evenly(log_probs, target, seed=0):
    class_count = log_probs.shape[1]
    prior = np.full(class_count, 1 / class_count)
    return evaluate_log_probs(log_probs, target, tuple(range(class_count)), prior, np.random.default_rng(seed))


def test_every_figure_is_that_of_its_own_function():
    log_probs, target = draw_calibrated(0, 300, 4)
    result = evaluate_evenly(log_probs, target)
    probs, predicted = np.exp(log_probs), log_probs.argmax(axis=1)
    expected = {
        "log_loss": sklearn.metrics.log_loss(target, probs),
        "accuracy": sklearn.metrics.accuracy_score(target, predicted),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(target, predicted),
        "macro_f1": sklearn.metrics.f1_score(target, predicted, average="macro"),
        "brier": sklearn.metrics.brier_score_loss(target, probs, scale_by_half=False),
        "top_label_calibration_error": calibration.top_label_calibration_error(probs, target),
        "classwise_calibration_error": calibration.classwise_calibration_error(probs, target),
        "debiased_top_label_error": debiased.debiased_top_label_error(probs, target),
        "debiased_classwise_error": debiased.debiased_classwise_error(probs, target),
    }
    assert list(result.metrics) == list(METRICS)
    for name, value in expected.items():
        assert_allclose(result.metrics[name].value, value, rtol=1e-10, err_msg=name)
        assert result.metrics[name].low <= result.metrics[name].value < result.metrics[name].high, name
    assert_array_equal(result.confusion, sklearn.metrics.confusion_matrix(target, predicted))
    assert result.rows == result.reliability.count.sum() == 300


def test_results_of_each_class_agree_with_scikit_learn():
    log_probs, target = draw_calibrated(1, 200, 3)
    result = evaluate_evenly(log_probs, target)
    expected = sklearn.metrics.precision_recall_fscore_support(target, log_probs.argmax(axis=1))
    for k, each in enumerate(result.classes):
        assert (each.label, each.support) == (k, expected[3][k])
        assert_allclose([each.precision.value, each.recall.value, each.f1.value], [row[k] for row in expected[:3]])
        assert each.recall.low < each.recall.value < each.recall.high
        assert_allclose(np.nansum(each.reliability.frequency * each.reliability.count), each.support)


def test_intervals_of_means_agree_with_the_normal_ones():
    log_probs, target = draw_calibrated(2, 6000, 3)
    result = evaluate_evenly(log_probs, target)
    losses = metrics.log_loss_of_rows(log_probs, target)
    half = 1.96 * losses.std() / math.sqrt(6000)
    assert_allclose(result.metrics["log_loss"].low, losses.mean() - half, atol=0.2 * half)
    assert_allclose(result.metrics["log_loss"].high, losses.mean() + half, atol=0.2 * half)


def test_baseline_answers_with_the_prior():
    target = np.array([0, 0, 1, 2])
    prior = np.array([0.2, 0.5, 0.3])
    log_probs = np.log(np.full((4, 3), 1 / 3))
    result = evaluate_log_probs(log_probs, target, ("a", "b", "c"), prior, np.random.default_rng(0))
    expected = sklearn.metrics.log_loss(target, np.tile(prior, (4, 1)))
    assert_allclose(result.baseline["log_loss"], expected)
    assert result.baseline["accuracy"] == 0.25


def test_a_class_of_prior_zero_costs_the_baseline_nothing_until_it_occurs():
    log_probs, prior = np.log(np.full((2, 2), 0.5)), np.array([1.0, 0.0])
    absent = evaluate_log_probs(log_probs, np.array([0, 0]), (0, 1), prior, np.random.default_rng(0))
    present = evaluate_log_probs(log_probs, np.array([0, 1]), (0, 1), prior, np.random.default_rng(0))
    assert (absent.baseline["log_loss"], present.baseline["log_loss"]) == (0.0, math.inf)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(2, 5))
def test_the_order_of_rows_changes_no_figure(seed, rows, class_count):
    log_probs, target = draw_calibrated(seed, rows, class_count)
    order = np.random.default_rng(seed).permutation(rows)
    first, second = evaluate_evenly(log_probs, target), evaluate_evenly(log_probs[order], target[order])
    assert_array_equal(first.confusion, second.confusion)
    assert first.classes[0].f1.value == pytest.approx(second.classes[0].f1.value, nan_ok=True)
    for name, estimate in first.metrics.items():
        if not name.endswith(("_calibration", "_refinement")):  # which rest on random parts of the rows
            assert_allclose(estimate.value, second.metrics[name].value, atol=1e-7, err_msg=name)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others():
    log_probs, target = draw_calibrated(3, 100, 3)
    first, same, other = (evaluate_evenly(log_probs, target, seed).metrics for seed in (0, 0, 1))
    assert first == same
    assert first["log_loss"].low != other["log_loss"].low


def test_one_row_has_figures_and_no_intervals():
    result = evaluate_evenly(np.log([[0.75, 0.25]]), np.array([1]))
    assert_allclose(result.metrics["log_loss"].value, math.log(4))
    assert result.metrics["accuracy"].value == 0.0
    assert all(math.isnan(estimate.low) and math.isnan(estimate.high) for estimate in result.metrics.values())
    assert math.isnan(result.metrics["log_loss_refinement"].value)
    assert math.isnan(result.metrics["kernel_calibration_error"].value)


def test_an_absent_class_keeps_its_place():
    log_probs = np.log([[0.7, 0.1, 0.2], [0.2, 0.1, 0.7], [0.6, 0.1, 0.3]])
    result = evaluate_evenly(log_probs, np.array([0, 2, 0]))
    absent = result.classes[1]
    assert (absent.label, absent.support) == (1, 0)
    assert all(math.isnan(x) for e in (absent.precision, absent.recall, absent.f1) for x in (e.value, e.low, e.high))
    assert absent.reliability.count.sum() == 3
    assert result.metrics["balanced_accuracy"].value == result.metrics["macro_f1"].value == 1.0


def test_an_impossible_event_makes_the_log_loss_infinite_and_leaves_the_rest():
    log_probs = np.array([[0.0, -np.inf]] * 20)
    result = evaluate_evenly(log_probs, np.array([0] * 19 + [1]))
    assert result.metrics["log_loss"].value == result.metrics["log_loss"].high == math.inf
    assert result.metrics["log_loss"].low == 0.0
    assert result.metrics["log_loss_calibration"].value == math.inf
    assert math.isfinite(result.metrics["log_loss_refinement"].value)
    assert result.calibration_p_value == 0.005
    assert_allclose(result.metrics["brier"].value, 0.1)
    assert result.metrics["top_label_calibration_error"].value == pytest.approx(0.05)


def test_float32_log_probs_are_accepted():
    log_probs, target = draw_calibrated(4, 500, 100)
    wide, narrow = evaluate_evenly(log_probs, target), evaluate_evenly(log_probs.astype(np.float32), target)
    assert_allclose(narrow.metrics["log_loss"].value, wide.metrics["log_loss"].value, rtol=1e-6)


def test_json_is_valid_and_complete():
    log_probs = np.log([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.6, 0.3]])
    prior = np.array([1.0, 0.0, 0.0])
    result = evaluate_log_probs(log_probs, np.array([0, 1, 1]), ("no", True, 7), prior, np.random.default_rng(0))
    plain = json.loads(json.dumps(to_json(result), allow_nan=False))
    assert plain == to_json(result)
    assert list(plain) == ["rows", "metrics", "calibration_p_value", "baseline", "classes", "confusion", "reliability"]
    assert plain["metrics"]["accuracy"].keys() == {"value", "low", "high"}
    assert plain["baseline"] == {"log_loss": "Infinity", "accuracy": pytest.approx(1 / 3)}
    assert [each["label"] for each in plain["classes"]] == ["no", True, 7]
    assert plain["classes"][2]["recall"] == {"value": None, "low": None, "high": None}
    assert plain["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert plain["reliability"]["count"] == result.reliability.count.tolist()
    assert plain["reliability"]["frequency"][0] is None


@pytest.mark.parametrize(
    ("log_probs", "classes", "prior", "met"),
    [
        ([[0.5, 0.5]], ("a", "b"), [0.5, 0.5], "row 0 sum to 3.29744"),
        ([[900.0, 0.0]], ("a", "b"), [0.5, 0.5], "row 0 sum to inf"),
        ([[np.nan, 0.0]], ("a", "b"), [0.5, 0.5], "row 0 sum to nan"),
        ([[np.log(0.5)] * 2], ("a",), [0.5, 0.5], "2 columns, 1 labels"),
        ([[np.log(0.5)] * 2], ("a", "b"), [1.0], r"prior of shape \(1,\)"),
        ([[np.log(0.5)] * 2], ("a", "b"), [3.0, 1.0], r"It is \[3. 1.\]"),
        ([[np.log(0.5)] * 2], ("a", "b"), [np.nan, 1.0], "It is"),
    ],
)
def test_bad_input_is_named(log_probs, classes, prior, met):
    with pytest.raises(ShapeError, match=met):
        evaluate_log_probs(np.array(log_probs), np.array([0]), classes, np.array(prior), np.random.default_rng(0))


def test_probabilities_from_anywhere_are_judged_as_log_probabilities_are():
    log_probs, target = draw_calibrated(6, 200, 3)
    probs, labels = np.exp(log_probs), np.array(["a", "b", "c"])[target]
    prior = np.bincount(target) / 200
    expected = evaluate_log_probs(log_probs, target, ("a", "b", "c"), prior, np.random.default_rng(7))
    for source in (probs, probs.tolist(), pd.DataFrame(probs, columns=["a", "b", "c"])):
        result = evaluate(source, labels, seed=7)
        for name, estimate in expected.metrics.items():
            assert dataclasses.astuple(result.metrics[name]) == pytest.approx(dataclasses.astuple(estimate)), name
        assert result.calibration_p_value == expected.calibration_p_value
        assert result.baseline == pytest.approx(expected.baseline)
        assert [each.label for each in result.classes] == ["a", "b", "c"]


def test_two_parts_of_a_loss_add_up_and_a_temperature_is_found():
    log_probs, target = draw_calibrated(8, 2000, 4)
    overconfident = scipy.special.log_softmax(2 * log_probs, axis=1)
    result = evaluate_evenly(overconfident, target).metrics
    for loss in ("log_loss", "brier"):
        assert_allclose(
            result[f"{loss}_calibration"].value + result[f"{loss}_refinement"].value, result[loss].value, rtol=1e-12
        )
        assert result[f"{loss}_calibration"].low > 0
    honest = metrics.log_loss(log_probs, target)
    assert_allclose(result["log_loss_refinement"].value, honest, atol=0.005)


def test_two_classes_without_rows_of_one_are_judged():
    result = evaluate([[0.9, 0.1], [0.8, 0.2]], [0, 0])
    assert result.classes[1].support == 0
    assert math.isfinite(result.metrics["log_loss_refinement"].value)


def test_summary_names_every_figure_with_its_interval():
    log_probs, target = draw_calibrated(9, 300, 3)
    result = evaluate(np.exp(log_probs), target)
    lines = result.summary().splitlines()
    assert str(result) == result.summary()
    assert lines[0].startswith("300 rows, 3 classes")
    for metric in METRICS.values():
        assert any(line.startswith(metric.title) and " to " in line for line in lines), metric.title
    assert f"class shares: log-loss {result.baseline['log_loss']:.4f}" in lines[-2]
    assert ("no reason to doubt" in lines[-1]) == (result.calibration_p_value >= 0.05)
