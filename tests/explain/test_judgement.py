import numpy as np
import pytest

from crossent.data.read import read
from crossent.decide.decide import DecisionRule
from crossent.evaluation.metrics import log_loss
from crossent.explain.judgement import judge
from crossent.fitting.fit import fit
from crossent.fitting.recipe import Recipe
from tests.conftest import draw_table


def test_it_holds_what_the_rows_say() -> None:
    dataset = read(draw_table(900), "label")
    train, test = dataset.take(np.arange(900) < 700), dataset.take(np.arange(900) >= 700)
    predictor = fit(train, Recipe(model="linear", folds=2, label_smoothing=0.5, imbalance="logit-adjust")).predictor
    found = judge(predictor, test, seed=0)
    np.testing.assert_allclose(found.log_probs, predictor.log_probs(test.frame), rtol=1e-6)
    assert found.evaluation.metrics["log_loss"].value == pytest.approx(log_loss(found.log_probs, test.target))
    assert found.before_after is not None
    before, after = found.before_after.evaluations.values()
    # Smoothed labels make a model too modest, and calibration takes it back.
    assert after.metrics["log_loss"].value < before.metrics["log_loss"].value
    assert found.sets is not None
    decisions = predictor.decide(test.frame, DecisionRule(coverage=0.9))
    assert decisions.sets is not None
    assert found.sets.result.coverage.value == decisions.sets[np.arange(200), test.target].mean()
    assert found.risk_coverage.coverage[-1] == 1.0
    assert found.risk_coverage.risk[-1] == pytest.approx((decisions.predicted != test.target).mean())
    assert (decisions.predicted != found.log_probs.argmax(axis=1)).any()
    assert [each.label for each in found.remedy] == ["a", "b", "c"]
    by_hand = found.log_probs + np.log(predictor.decision_prior / predictor.prior)
    recall = [(by_hand.argmax(axis=1) == k)[test.target == k].mean() for k in range(3)]
    np.testing.assert_allclose([each.remedied_recall for each in found.remedy], recall)
    loss = -(by_hand - np.log(np.exp(by_hand).sum(axis=1, keepdims=True)))[np.arange(200), test.target]
    mean_loss = [loss[test.target == k].mean() for k in range(3)]
    np.testing.assert_allclose([each.remedied_log_loss for each in found.remedy], mean_loss, rtol=1e-5)


def test_without_remedy_calibration_or_rows_enough_the_parts_are_missing() -> None:
    dataset = read(draw_table(60), "label")
    train, test = dataset.take(np.arange(60) < 24), dataset.take(np.arange(60) >= 24)
    predictor = fit(train, Recipe(model="linear", folds=1, calibration="none")).predictor
    found = judge(predictor, test, seed=0)
    assert found.before_after is None
    assert found.sets is None
    assert found.remedy == ()
