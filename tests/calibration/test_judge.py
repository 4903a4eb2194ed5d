import numpy as np
import pytest
import scipy.special

from crossent.calibration.choose import choose_calibration
from crossent.calibration.judge import FOLDS, deal_rows, judge_structure, judge_temperature, log_probs, share_of
from crossent.calibration.scaling import Mixing, Temperature
from crossent.calibration.structured import LabelledFeatures, Structure, fit_structured, no_change
from crossent.calibration.temperature import best_temperature
from crossent.logits import mean_cross_entropy
from crossent.threads import open_threads
from tests.calibration.draw import draw, draw_skewed


def test_the_cross_fitted_loss_is_that_of_temperatures_that_other_rows_chose() -> None:
    logits, target = draw(400, 3.0)
    with open_threads() as (pool, _):
        rows = deal_rows(logits, target, None, pool)
        found = judge_temperature(rows, pool)
    total = 0.0
    for i in range(FOLDS):
        rest, own = rows.fold != i, rows.fold == i
        steps = (Temperature(best_temperature(logits[rest], target[rest])), Mixing(1 / (rest.sum() + 1)))
        mapped = steps[1].logits(steps[0].logits(logits[own].astype(np.float64)))
        total += mean_cross_entropy(mapped, target[own]) * own.sum()
    # One Newton step from the temperature of all rows stands for each fold's own search.
    assert found.log_loss == pytest.approx(total / 400, rel=1e-3)


@pytest.mark.parametrize("structure", ["vector", "matrix"])
def test_the_cross_fitted_loss_is_that_of_weights_that_other_rows_chose(structure: Structure) -> None:
    logits, target = draw_skewed(400)
    with open_threads() as (pool, _):
        rows = deal_rows(logits.astype(np.float64), target, None, pool)
        found = next(judge_structure(rows, structure, pool))
        total = 0.0
        for i in range(FOLDS):
            rest, own = rows.fold != i, rows.fold == i
            inverse, share = 1 / best_temperature(rows.logits[rest], target[rest]), share_of(int(rest.sum()))
            features = log_probs(rows.logits[rest], inverse, share, pool)
            weight = fit_structured(
                LabelledFeatures(features, target[rest], np.ones(rest.sum())),
                structure,
                1.0,
                no_change(structure, 4),
                pool,
            )
            matrix = np.diag(weight[:, 0]) if structure == "vector" else weight[:, :-1]
            before = Mixing(share).logits(inverse * rows.logits[own])
            mapped = Mixing(share).logits(before + before @ matrix.T + weight[:, -1])
            total += mean_cross_entropy(mapped, target[own]) * own.sum()
    assert found.log_loss == pytest.approx(total / 400, rel=2e-3)


def test_folds_are_the_same_each_time_and_know_nothing_of_classes() -> None:
    logits, target = draw(100, 1.0)
    with open_threads() as (pool, _):
        rows, again = deal_rows(logits, target, None, pool), deal_rows(logits, target[::-1].copy(), None, pool)
    np.testing.assert_array_equal(rows.fold, again.fold)
    assert np.bincount(rows.fold).tolist() == [20] * FOLDS


def test_many_logits_are_judged_by_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = draw_skewed(5_000)
    judged_by_all = choose_calibration(logits, target, "auto")
    monkeypatch.setattr("crossent.calibration.judge.MANY_LOGITS", 1_000)
    judged_by_one = choose_calibration(logits, target, "auto")
    assert judged_by_one.method == judged_by_all.method == "matrix"
    assert judged_by_one.log_loss_after == pytest.approx(judged_by_all.log_loss_after, abs=0.1)


def test_log_probs_of_many_rows_are_those_of_the_steps() -> None:
    logits, _ = draw(20_000, 2.0)
    with open_threads() as (pool, _):
        found = log_probs(logits, 0.5, 0.01, pool)
    expected = Mixing(0.01).logits(Temperature(2.0).logits(logits.astype(np.float64)))
    np.testing.assert_allclose(found.T, expected, atol=1e-4)
    np.testing.assert_allclose(scipy.special.logsumexp(found, axis=0), 0, atol=1e-5)
