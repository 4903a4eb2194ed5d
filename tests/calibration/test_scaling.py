from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special

from crossent.calibration.choose import choose_calibration
from crossent.calibration.scaling import (
    Calibration,
    MatrixScaling,
    Method,
    Mixing,
    Step,
    Temperature,
    VectorScaling,
    identity,
)
from crossent.errors import ModelFileError, ShapeError
from crossent.storage import load_folder, save_folder
from tests.calibration.draw import draw_skewed


def test_steps_do_what_their_names_say_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    logits, weight, bias = rng.normal(size=(5, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
    mixed = np.log(0.9 * scipy.special.softmax(logits / 2, axis=1) + 0.1 / 3)
    before: tuple[Step, ...] = (Temperature(2.0), Mixing(0.1))
    scalings: list[tuple[Method, Step, npt.NDArray[np.float64]]] = [
        ("vector", VectorScaling(bias, bias), mixed * bias + bias),
        ("matrix", MatrixScaling(weight, bias), mixed @ weight + bias),
    ]
    for method, scaling, scaled in scalings:
        calibration = Calibration(method, (*before, scaling, Mixing(0.2)), 1.0, 0.5, "", ())
        expected = 0.8 * scipy.special.softmax(scaled, axis=1) + 0.2 / 3
        assert calibration.logits(logits).dtype == np.float32
        np.testing.assert_allclose(calibration.probs(logits), expected, rtol=1e-5)
        assert calibration.temperature == 2.0


@pytest.mark.parametrize(
    "build",
    [
        lambda: Temperature(0.0),
        lambda: Temperature(np.nan),
        lambda: Temperature(-1.0),
        lambda: Mixing(0.0),
        lambda: Mixing(1.0),
        lambda: Mixing(-0.1),
        lambda: VectorScaling(np.full(3, np.inf), np.ones(3)),
        lambda: MatrixScaling(np.eye(3), np.full(3, np.nan)),
        lambda: Calibration("matrix", (Temperature(1.0), Mixing(0.1)), 1.0, 1.0, "", ()),
        lambda: Calibration("identity", (Mixing(0.1),), 1.0, 1.0, "", ()),
    ],
)
def test_steps_that_could_give_no_probabilities_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must be finite|not from|does not have the steps"):
        build()


def test_the_identity_changes_no_bit() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(identity("").logits(logits), logits)
    assert identity("").temperature == 1.0


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, target = draw_skewed(500)
    calibration = choose_calibration(logits, target, "matrix")
    whole = calibration.logits(logits)
    monkeypatch.setattr("crossent.calibration.scaling.CHUNK_ELEMENTS", 40)
    np.testing.assert_allclose(calibration.logits(logits), whole, rtol=1e-6)


@pytest.mark.parametrize("method", ["identity", "temperature", "vector", "matrix", "auto"])
def test_a_saved_calibration_is_the_same_bit_for_bit(method: str, tmp_path: Path) -> None:
    logits, target = draw_skewed(500)
    calibration = choose_calibration(logits, target, method)  # type: ignore[arg-type]
    save_folder(tmp_path / "calibration", calibration, {"crossent": "test"})
    loaded = load_folder(tmp_path / "calibration", Calibration)
    np.testing.assert_array_equal(loaded.logits(logits), calibration.logits(logits))
    assert (loaded.method, loaded.note, loaded.attempts) == (calibration.method, calibration.note, calibration.attempts)
    assert loaded.log_loss_after == calibration.log_loss_after


def test_arrays_that_do_not_fit_are_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        VectorScaling(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="do not fit"):
        MatrixScaling(np.ones((3, 2)), np.ones(3))
    bad = VectorScaling(np.ones(3), np.ones(3))
    object.__setattr__(bad, "bias", np.ones(2))
    save_folder(
        tmp_path / "bad", Calibration("vector", (Temperature(1.0), Mixing(0.1), bad, Mixing(0.1)), 1.0, 1.0, "", ()), {}
    )
    with pytest.raises(ModelFileError, match="do not fit"):
        load_folder(tmp_path / "bad", Calibration)


def test_logits_of_other_classes_or_not_finite_are_one_clear_error() -> None:
    logits, target = draw_skewed(500)
    calibration = choose_calibration(logits, target, "matrix")
    with pytest.raises(ShapeError, match="4 classes"):
        calibration.logits(logits[:, :3])
    logits[2, 1] = np.inf
    with pytest.raises(ShapeError, match="Row 2 holds inf for class 1"):
        calibration.probs(logits)
