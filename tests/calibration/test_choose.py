import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.calibration.choose import choose_calibration
from crossent.calibration.judge import FOLDS, log_probs
from crossent.calibration.scaling import Mixing, Temperature
from crossent.calibration.temperature import best_temperature
from crossent.losses.arrays import mean_cross_entropy
from crossent.solver.passes import open_threads
from tests.calibration.draw import draw, draw_skewed


@pytest.mark.parametrize("sharpness", [0.3, 3.0])
def test_known_overconfidence_is_undone(sharpness: float) -> None:
    logits, target = draw(20_000, sharpness)
    calibration = choose_calibration(logits, target, "auto")
    assert calibration.method == "temperature"
    assert calibration.temperature == pytest.approx(sharpness, rel=0.05)
    assert calibration.log_loss_after < calibration.log_loss_before
    assert ("overconfident" if sharpness > 1 else "underconfident") in calibration.note
    new, new_target = draw(5_000, sharpness, seed=1)
    assert mean_cross_entropy(calibration.logits(new), new_target) < mean_cross_entropy(new, new_target)


def test_a_model_that_a_matrix_led_astray_is_led_back_by_one() -> None:
    logits, target = draw_skewed(5_000)
    calibration = choose_calibration(logits, target, "auto")
    assert calibration.method == "matrix"
    new, new_target = draw_skewed(20_000, seed=1)
    honest, _ = draw(20_000, 1.0, seed=1)
    best = mean_cross_entropy(honest, new_target)
    assert mean_cross_entropy(new, new_target) > best + 0.3
    assert mean_cross_entropy(calibration.logits(new), new_target) < best + 0.01
    # What it promised is what new rows show.
    assert calibration.log_loss_after == pytest.approx(
        mean_cross_entropy(calibration.logits(new), new_target), abs=0.03
    )


@given(st.integers(0, 2**31), st.integers(10, 300), st.integers(2, 6), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_auto_never_keeps_what_the_rows_held_out_speak_against(
    seed: int, rows: int, classes: int, sharpness: float
) -> None:
    logits, target = draw(rows, sharpness, seed, classes)
    calibration = choose_calibration(logits, target, "auto")
    assert calibration.log_loss_after <= calibration.log_loss_before
    assert [one.kept for one in calibration.attempts].count(True) == 1
    kept = next(one for one in calibration.attempts if one.kept)
    assert (kept.method, kept.log_loss) == (calibration.method, calibration.log_loss_after)
    assert np.isfinite(calibration.logits(1e4 * logits)).all()


def test_the_cross_fitted_loss_is_that_of_temperatures_that_other_rows_chose() -> None:
    logits, target = draw(400, 3.0)
    calibration = choose_calibration(logits, target, "temperature")
    fold = np.empty(400, dtype=np.int64)
    fold[np.argsort(target, kind="stable")] = np.arange(400) % FOLDS
    total = 0.0
    for i in range(FOLDS):
        rest, own = fold != i, fold == i
        steps = (Temperature(best_temperature(logits[rest], target[rest])), Mixing(1 / (rest.sum() + 1)))
        mapped = steps[1].logits(steps[0].logits(logits[own].astype(np.float64)))
        total += mean_cross_entropy(mapped, target[own]) * own.sum()
    # One Newton step from the temperature of all rows stands for each fold's own search.
    assert calibration.log_loss_after == pytest.approx(total / 400, rel=1e-3)


def test_calibrated_logits_are_left_alone_or_nearly_so() -> None:
    kept = 0
    for seed in range(20):
        logits, target = draw(300, 1.0, seed)
        calibration = choose_calibration(logits, target, "auto")
        kept += calibration.method != "identity"
        if calibration.method == "identity":
            np.testing.assert_array_equal(calibration.logits(logits), logits)
            assert calibration.log_loss_after == calibration.log_loss_before
    assert kept <= 6


@pytest.mark.parametrize("method", ["temperature", "vector", "matrix"])
def test_the_least_gain_is_a_share_of_the_log_loss(method: str) -> None:
    logits, target = draw_skewed(2_000)
    free = choose_calibration(logits, target, method)  # type: ignore[arg-type]
    gain = 1 - free.log_loss_after / free.log_loss_before
    assert free.method == method
    kept = choose_calibration(logits, target, method, least_gain=gain - 0.01)  # type: ignore[arg-type]
    refused = choose_calibration(logits, target, method, least_gain=gain + 0.01)  # type: ignore[arg-type]
    assert (kept.method, refused.method) == (method, "identity")
    assert "or more" in refused.note


def test_too_few_rows_are_left_alone() -> None:
    logits, target = draw(5, 5.0)
    calibration = choose_calibration(logits, target, "auto")
    assert calibration.method == "identity"
    assert "5 held-out rows are too few" in calibration.note


@pytest.mark.parametrize("method", ["auto", "vector", "matrix", "temperature"])
def test_perfect_rows_do_not_make_the_next_one_certain(method: str) -> None:
    logits = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    calibration = choose_calibration(logits, np.arange(60) % 3, method)  # type: ignore[arg-type]
    probs = calibration.probs(logits)
    # One more row, of any class, beside the 60.
    assert calibration.method != "identity"
    assert probs.min() >= 1 / 61 / 3 * 0.999


@pytest.mark.parametrize("method", ["auto", "vector", "matrix"])
def test_a_class_without_rows_keeps_a_probability(method: str) -> None:
    logits, target = draw_skewed(1_000)
    rows = target != 3
    calibration = choose_calibration(logits[rows], target[rows], method)  # type: ignore[arg-type]
    probs = calibration.probs(logits)
    assert calibration.method != "identity"
    assert probs.shape == (1_000, 4)
    assert probs[:, 3].min() >= 0.999 / (rows.sum() + 1) / 4
    assert probs[rows, 3].mean() < 0.05


def test_a_matrix_with_more_weights_than_rows_allow_gives_way_to_a_vector() -> None:
    logits, target = draw(300, 3.0, classes=40)
    calibration = choose_calibration(logits, target, "matrix")
    assert calibration.method == "vector"
    assert "300 rows are too few" in calibration.note
    assert "matrix" not in {one.method for one in choose_calibration(logits, target, "auto").attempts}


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
