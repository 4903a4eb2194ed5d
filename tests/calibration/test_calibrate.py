import numpy as np
import pytest

import crossent as ce
from crossent.errors import SettingError, ShapeError
from tests.calibration.draw import draw, draw_skewed


def test_logits_from_anywhere_are_calibrated() -> None:
    logits, target = draw_skewed(3_000)
    for scores, labels in (
        (logits, target),
        (logits.astype(np.float64), target.astype(np.int8)),
        (logits.tolist(), target.tolist()),
    ):
        calibration = ce.calibrate(scores, labels)
        assert calibration.method == "matrix"
        np.testing.assert_allclose(calibration.probs(logits).sum(axis=1), 1, rtol=1e-6)


def test_logs_of_probabilities_and_logits_with_a_constant_more_give_the_same() -> None:
    logits, target = draw_skewed(1_000)
    shifted = logits.astype(np.float64) + np.arange(1_000)[:, None]
    expected = ce.calibrate(logits.astype(np.float64), target).probs(logits)
    np.testing.assert_allclose(ce.calibrate(shifted, target).probs(shifted), expected, rtol=1e-3, atol=1e-6)


def test_two_classes_work() -> None:
    logits, target = draw(2_000, 4.0, classes=2)
    for method in ("auto", "temperature", "vector", "matrix"):
        calibration = ce.calibrate(logits, target, method)
        assert calibration.method == ("temperature" if method == "auto" else method)
        assert calibration.log_loss_after < calibration.log_loss_before - 0.1


def test_five_rows_and_one_class_alone_are_safe() -> None:
    logits, target = draw(5, 4.0)
    assert ce.calibrate(logits, target).method == "identity"
    alone = ce.calibrate(draw(50, 4.0)[0], np.zeros(50, dtype=np.int64))
    assert np.isfinite(alone.logits(logits)).all()


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (np.array([[0, 1], [np.nan, 0]]), [0, 1], "Row 1 holds nan for class 0"),
        (np.array([[0, -np.inf], [1, 0]]), [0, 1], "Row 0 holds -inf for class 1"),
        (np.zeros((3, 2)), [0, 1], r"Its shape is \(2,\)"),
        (np.zeros((3, 1)), [0, 0, 0], "2 or more classes"),
        (np.zeros(3), [0, 0, 0], r"shape \(3,\)"),
        (np.zeros((2, 2)), [0, 2], "Row 1 holds 2. Do they count from 1"),
        (np.zeros((2, 2)), [-1, 0], "Row 0 holds -1"),
        (np.zeros((2, 2)), [0.0, 1.0], "float64"),
        (np.zeros((2, 2)), ["a", "b"], "class indices"),
        (np.array([["a", "b"]]), [0], "real numbers"),
    ],
)
def test_bad_input_is_one_clear_error(logits: np.ndarray, labels: list[object], said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        ce.calibrate(logits, labels)


def test_an_unknown_method_is_an_error_that_names_those_that_are_known() -> None:
    with pytest.raises(SettingError, match="auto, identity, temperature, vector, matrix"):
        ce.calibrate(np.zeros((20, 2)), np.zeros(20, dtype=np.int64), "isotonic")  # type: ignore[arg-type]
