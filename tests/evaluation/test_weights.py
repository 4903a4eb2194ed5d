"""Rows of different weights: figures are those of copies, and intervals and tests keep to what they promise."""

import numpy as np
import pytest

import crossent as ce
from crossent.errors import ShapeError
from crossent.evaluation.consistency import calibration_p_value
from crossent.evaluation.debiased import squared_calibration_error
from crossent.evaluation.result import Evaluation


def of_points(evaluation: Evaluation) -> dict[str, float]:
    debiased = {"debiased_top_label_error", "debiased_classwise_error", "kernel_calibration_error"}
    parts = {name for name in evaluation.metrics if name.endswith(("_calibration", "_refinement"))}
    return {name: each.value for name, each in evaluation.metrics.items() if name not in debiased | parts}


def draw_weighted(rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), size=rows)
    target = (np.log(probs) + rng.gumbel(size=probs.shape)).argmax(axis=1)
    return probs, target, rng.integers(0, 4, size=rows)


def test_weights_give_the_figures_of_copies() -> None:
    probs, target, weight = draw_weighted()
    rows = np.repeat(np.arange(400), weight)
    weighted, copies = ce.evaluate(probs, target, sample_weight=weight), ce.evaluate(probs[rows], target[rows])
    assert of_points(weighted) == pytest.approx(of_points(copies))
    assert weighted.baseline == pytest.approx(copies.baseline)
    assert weighted.rows == (weight > 0).sum()
    np.testing.assert_array_equal(weighted.confusion, copies.confusion)
    np.testing.assert_array_equal(weighted.reliability.count, copies.reliability.count)
    for found, expected in zip(weighted.classes, copies.classes, strict=True):
        assert found.recall.value == pytest.approx(expected.recall.value)
        assert found.precision.value == pytest.approx(expected.precision.value)
        assert found.support == (target[weight > 0] == found.label).sum()
    # The two parts of a loss add up to it.
    metrics = weighted.metrics
    total = metrics["log_loss_calibration"].value + metrics["log_loss_refinement"].value
    assert total == pytest.approx(metrics["log_loss"].value)


def test_equal_weights_change_nothing_but_sums() -> None:
    probs, target, _ = draw_weighted()
    without, weighted = ce.evaluate(probs, target), ce.evaluate(probs, target, sample_weight=np.full(400, 3.0))
    for name, expected in without.metrics.items():
        found = weighted.metrics[name]
        assert found.value == pytest.approx(expected.value, abs=1e-9)
        if name not in {"balanced_accuracy", "macro_f1", "accuracy"}:
            assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
        else:  # by other draws
            assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    p_values = [
        calibration_p_value(probs, target, np.random.default_rng(0), sample_weight=weight)
        for weight in (None, np.full(400, 3.0))
    ]
    assert p_values[0] == p_values[1]


def test_intervals_hold_the_truth_where_rows_have_weights() -> None:
    rng = np.random.default_rng(0)
    many = rng.dirichlet(np.ones(3), size=400_000)
    # The most probable class is the right one with its probability.
    truth = np.average(many.max(axis=1), weights=np.exp(2 * many[:, 0]))
    held = 0
    for seed in range(100):
        probs = rng.dirichlet(np.ones(3), size=300)
        target = (np.log(probs) + rng.gumbel(size=probs.shape)).argmax(axis=1)
        weight = np.exp(2 * probs[:, 0])
        estimate = ce.evaluate(probs, target, sample_weight=weight, seed=seed).metrics["accuracy"]
        held += estimate.low <= truth <= estimate.high
    assert 88 <= held <= 100


def test_calibrated_probabilities_pass_the_test_of_calibration_with_weights() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for seed in range(100):
        probs = rng.dirichlet(np.ones(3), size=150)
        target = (np.log(probs) + rng.gumbel(size=probs.shape)).argmax(axis=1)
        weight = rng.exponential(size=150)
        p_values.append(calibration_p_value(probs, target, np.random.default_rng(seed), sample_weight=weight))
    assert np.mean(np.array(p_values) <= 0.05) <= 0.11
    heavy_and_wrong = np.where(target == 0, 20.0, 1.0)
    assert calibration_p_value(probs, target, rng, sample_weight=heavy_and_wrong) < 0.05


def test_debiased_errors_stay_near_zero_for_right_probabilities_of_rows_with_weights() -> None:
    rng = np.random.default_rng(0)
    squares, plain = [], []
    for _ in range(300):
        chance = rng.random(60)
        outcome, weight = rng.random(60) < chance, rng.exponential(size=60)
        squares.append(squared_calibration_error(chance, outcome, 5, sample_weight=weight))
        plain.append(squared_calibration_error(chance, outcome, 5))
    assert abs(np.mean(squares)) < 3 * np.std(squares) / 300**0.5
    assert np.std(squares) > np.std(plain)


@pytest.mark.parametrize("bad", [[1.0, -1.0, 1.0], [1.0, np.nan, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0]])
def test_weights_that_are_none_are_refused(bad: list[float]) -> None:
    with pytest.raises(ShapeError, match="sample_weight"):
        ce.evaluate(np.full((3, 2), 0.5), [0, 1, 1], sample_weight=bad)


def test_a_comparison_is_of_the_rows_that_weigh() -> None:
    probs, target, weight = draw_weighted()
    bold = probs**2 / (probs**2).sum(axis=1, keepdims=True)
    found = ce.compare({"honest": probs, "bold": bold}, target, sample_weight=weight)
    for name, of_source in (("honest", probs), ("bold", bold)):
        expected = ce.evaluate(of_source, target, sample_weight=weight)
        assert of_points(found.evaluations[name]) == pytest.approx(of_points(expected))
    difference = found.differences["bold"]["log_loss"]
    values = [found.evaluations[name].metrics["log_loss"].value for name in ("bold", "honest")]
    assert difference.value == pytest.approx(values[0] - values[1])
    assert difference.low < difference.value < difference.high
