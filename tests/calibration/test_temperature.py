from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from crossent.calibration.temperature import ScaledRows, best_temperature, fit_temperature, scaled_rows
from crossent.logits import mean_cross_entropy
from crossent.threads import open_threads
from tests.calibration.draw import draw


@given(st.floats(0.2, 5), st.integers(0, 100), st.sampled_from([2, 4, 50]))
def test_it_is_what_a_general_minimiser_finds(sharpness: float, seed: int, classes: int) -> None:
    logits, target = draw(200, sharpness, seed, classes)

    def loss(u: float) -> float:
        return mean_cross_entropy(np.exp(u) * logits.astype(np.float64), target)

    found = scipy.optimize.minimize_scalar(loss, bounds=(-6, 3), method="bounded", options={"xatol": 1e-8})
    assert best_temperature(logits.astype(np.float64), target) == pytest.approx(np.exp(-found.x), rel=1e-4)
    assert best_temperature(logits, target) == pytest.approx(np.exp(-found.x), rel=1e-3)


def test_what_a_row_loses_and_its_derivatives_are_those_of_the_definition() -> None:
    logits, target = draw(30, 2.0)
    with open_threads() as (pool, _):
        fitted = fit_temperature(logits.astype(np.float64), target, pool)
    near, step = fitted.inverse, 1e-4
    losses = [
        [mean_cross_entropy(factor * logits[i : i + 1].astype(np.float64), target[i : i + 1]) for i in range(30)]
        for factor in (1, near - step, near, near + step)
    ]
    unscaled, below, at, above = (np.array(values) for values in losses)
    np.testing.assert_allclose(fitted.unscaled.loss, unscaled, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fitted.rows.loss, at, atol=1e-4)
    np.testing.assert_allclose(fitted.rows.slope, (above - below) / (2 * step), atol=1e-3)
    np.testing.assert_allclose(fitted.rows.curvature, (above - 2 * at + below) / step**2, atol=1e-2)


def test_threads_and_chunks_change_nothing() -> None:
    logits, target = draw(40_000, 3.0)
    doubled = best_temperature(np.concatenate([logits] * 3), np.concatenate([target] * 3))
    assert doubled == pytest.approx(best_temperature(logits, target), rel=1e-5)


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_a_constant_for_all_classes_of_a_row_changes_nothing(shift: float) -> None:
    logits, target = draw(500, 2.0)
    moved = logits.astype(np.float64) + shift * np.arange(500)[:, None]
    assert best_temperature(moved, target) == pytest.approx(best_temperature(logits, target), rel=1e-4)


def test_rows_that_are_all_right_or_that_know_nothing_get_a_bounded_temperature() -> None:
    target = np.arange(60) % 3
    assert best_temperature(np.eye(3)[target], target) == pytest.approx(np.exp(-3), rel=1e-3)
    assert best_temperature(-np.eye(3)[target], target) == pytest.approx(np.exp(6), rel=1e-3)
    assert best_temperature(np.zeros((60, 3)), target) == 1.0


@given(st.integers(0, 1000), st.floats(-5, 2.5), st.integers(1, 3))
def test_the_search_ends_soon_wherever_the_root_is(seed: int, u: float, rows: int) -> None:
    logits, target = draw(20 * rows, float(np.exp(-u)), seed)
    passes = []

    def count(*arguments: Any) -> ScaledRows:
        passes.append(None)
        return scaled_rows(*arguments)

    with open_threads() as (pool, _), pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossent.calibration.temperature.scaled_rows", count)
        fit_temperature(logits.astype(np.float64), target, pool)
    assert len(passes) <= 25


def test_weights_are_copies() -> None:
    logits, target = draw(200, 3.0)
    weight = np.random.default_rng(0).integers(1, 4, size=200)
    rows = np.repeat(np.arange(200), weight)
    weighted = best_temperature(logits, target, weight.astype(np.float64))
    assert weighted == pytest.approx(best_temperature(logits[rows], target[rows]), rel=1e-5)
    assert weighted != pytest.approx(best_temperature(logits, target), rel=1e-3)
