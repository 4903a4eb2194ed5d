import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossent.calibration.choose import Choice, choose_calibration
from crossent.logits import mean_cross_entropy
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
@settings(max_examples=30)
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


@pytest.mark.parametrize("classes", [3, 20, 100])
def test_calibrated_logits_of_many_classes_do_not_seem_to_gain(classes: int) -> None:
    logits, target = draw(30 * classes, 1.0, classes=classes)
    calibration = choose_calibration(logits, target, "auto")
    new, new_target = draw(10_000, 1.0, seed=1, classes=classes)
    assert mean_cross_entropy(calibration.logits(new), new_target) < mean_cross_entropy(new, new_target) + 0.002


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


@pytest.mark.parametrize("method", ["auto", "temperature", "vector", "matrix"])
def test_equal_weights_change_nothing(method: Choice) -> None:
    logits, target = draw_skewed(600)
    without = choose_calibration(logits, target, method)
    weighted = choose_calibration(logits, target, method, weight=np.full(600, 2.5))
    np.testing.assert_allclose(weighted.logits(logits), without.logits(logits), rtol=1e-4, atol=1e-4)
    assert weighted.log_loss_after == pytest.approx(without.log_loss_after)


def test_what_is_kept_is_chosen_for_the_rows_that_weigh() -> None:
    (honest, of_honest), (sure, of_sure) = draw(1000, 1.0), draw(1000, 4.0, seed=1)
    logits, target = np.concatenate([honest, sure]), np.concatenate([of_honest, of_sure])
    heavy = np.repeat([1.0, 1e-6], 1000), np.repeat([1e-6, 1.0], 1000)
    temperatures = [choose_calibration(logits, target, "temperature", weight=weight).temperature for weight in heavy]
    assert temperatures[0] == pytest.approx(1, abs=0.15)
    assert temperatures[1] == pytest.approx(4, rel=0.15)
