import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from crossent.calibration.scaling import best_temperature, fit_temperature
from crossent.errors import ShapeError
from crossent.losses.arrays import mean_cross_entropy


def draw(rows: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `sharpness` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, size=(rows, 4))
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return (sharpness * honest).astype(np.float32), target


@given(st.floats(0.2, 5), st.integers(0, 100))
def test_it_is_what_a_general_minimiser_finds_with_one_row_more_of_a_random_label(sharpness: float, seed: int) -> None:
    logits, target = draw(200, sharpness, seed)

    def loss(u: float) -> float:
        scaled = np.exp(u) * logits.astype(np.float64)
        random = np.mean([mean_cross_entropy(scaled, np.full(200, k)) for k in range(4)])
        return mean_cross_entropy(scaled, target) + random / 200

    found = scipy.optimize.minimize_scalar(loss, bounds=(-6, 6), method="bounded")
    assert best_temperature(logits, target) == pytest.approx(np.exp(-found.x), rel=1e-3)


@pytest.mark.parametrize("sharpness", [0.3, 3.0])
def test_known_overconfidence_is_undone(sharpness: float) -> None:
    logits, target = draw(20_000, sharpness)
    calibration = fit_temperature(logits, target)
    assert calibration.method == "temperature"
    assert calibration.temperature == pytest.approx(sharpness, rel=0.05)
    assert calibration.log_loss_after < calibration.log_loss_before
    assert ("overconfident" if sharpness > 1 else "underconfident") in calibration.note
    new, new_target = draw(5_000, sharpness, seed=1)
    assert mean_cross_entropy(calibration.logits(new), new_target) < mean_cross_entropy(new, new_target)


def test_calibrated_logits_are_left_alone_or_nearly_so() -> None:
    kept = 0
    for seed in range(20):
        logits, target = draw(300, 1.0, seed)
        calibration = fit_temperature(logits, target)
        kept += calibration.method == "temperature"
        if calibration.method == "identity":
            np.testing.assert_array_equal(calibration.logits(logits), logits)
            assert calibration.temperature == 1.0
    assert kept <= 8


def test_too_few_rows_are_left_alone() -> None:
    logits, target = draw(5, 5.0)
    calibration = fit_temperature(logits, target)
    assert calibration.method == "identity"
    assert "too few" in calibration.note


def test_perfect_rows_get_a_bounded_temperature() -> None:
    logits = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    calibration = fit_temperature(logits, np.arange(60) % 3)
    probs = scipy.special.softmax(calibration.logits(logits), axis=1).max(axis=1)
    # After 60 of 60 the next one is right with a probability of about 60 / 61.
    np.testing.assert_allclose(1 - probs, 1 / 61, rtol=0.5)


def test_bad_logits_get_one_error() -> None:
    with pytest.raises(ShapeError, match=r"\(3, 2\) and \(2,\)"):
        fit_temperature(np.zeros((3, 2), dtype=np.float32), np.zeros(2, dtype=np.int64))
    with pytest.raises(ShapeError, match="Row 1"):
        fit_temperature(np.array([[0, 1], [np.nan, 0]], dtype=np.float32), np.zeros(2, dtype=np.int64))
