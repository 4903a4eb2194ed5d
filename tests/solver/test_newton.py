"""The solver on problems that are hard to solve, against SciPy's minimum of the same objective in float64."""

import numpy as np
import pytest

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.newton import Optimum, minimise
from tests.solver.reference import reference, sparse_rows


def fit(rows: FeatureRows, targets: RowTargets, num_classes: int, penalty: np.ndarray, tolerance: float) -> Optimum:
    start = np.zeros((rows.features + 1, num_classes))
    data = RegressionData(rows, targets, num_classes)
    return minimise(data, penalty, start, tolerance=tolerance, max_steps=200, on_step=lambda _: False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["plain", "correlated", "separable", "few rows", "constant", "duplicate"])
def test_reaches_the_optimum(kind: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    n, d, num_classes = (20, 40, 4) if kind == "few rows" else (600, 8, 4)
    features = rng.normal(size=(n, d))
    if kind == "correlated":
        features = features @ (rng.normal(size=(d, d)) * 10.0 ** -np.arange(d)[:, None] / 2)
    if kind == "constant":
        features[:, 0] = 3
    if kind == "duplicate":
        features[:, 1] = features[:, 0]
    logits = features @ rng.normal(size=(d, num_classes))
    target = (logits + (0 if kind == "separable" else 1) * rng.gumbel(size=logits.shape)).argmax(1)
    penalty = np.append(np.full(d, 1 / n), 0)
    features = features.astype(dtype)
    found = fit(FeatureRows(features, None, d), RowTargets(target, None, None), num_classes, penalty, 1e-8)
    best = reference(features.astype(float), np.eye(num_classes)[target], np.ones(n), penalty)
    assert found.converged
    assert found.objective <= best * (1 + 1e-6)
    assert found.objective - best <= found.gap + 1e-6 * best


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_soft_targets_weights_and_many_features(sparse: bool, wide: bool) -> None:
    rng = np.random.default_rng(0)
    n, d, num_classes = 200, 2000 if wide else 30, 5
    features = (rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.1)).astype(np.float64)
    target = rng.dirichlet(np.ones(num_classes), n) * rng.uniform(0.5, 2, (n, 1))
    weight = np.where(rng.random(n) < 0.2, 0.0, rng.random(n))
    penalty = np.append(rng.uniform(0.5, 2, d) / n, 0)
    rows = sparse_rows(features) if sparse else FeatureRows(features, None, d)
    found = fit(rows, RowTargets(None, target, weight), num_classes, penalty, 1e-10)
    assert found.objective == pytest.approx(reference(features, target, weight, penalty), rel=1e-8)


def test_many_classes_share_a_block() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(500, 3)), rng.integers(0, 40, 500)
    penalty = np.array([0.01, 0.01, 0.01, 0])
    found = fit(FeatureRows(features, None, 3), RowTargets(target, None, None), 40, penalty, 1e-10)
    assert found.objective == pytest.approx(reference(features, np.eye(40)[target], np.ones(500), penalty), rel=1e-8)


def test_start_at_the_optimum_takes_one_step() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(300, 5)), rng.integers(0, 3, 300)
    penalty = np.append(np.full(5, 0.01), 0)
    data = RegressionData(FeatureRows(features, None, 5), RowTargets(target, None, None), 3)
    first = minimise(data, penalty, np.zeros((6, 3)), tolerance=1e-10, max_steps=100, on_step=lambda _: False)
    again = minimise(data, penalty, first.theta, tolerance=1e-10, max_steps=100, on_step=lambda _: False)
    assert again.converged
    assert again.steps <= 1
    assert again.objective == pytest.approx(first.objective, rel=1e-10)


def test_too_few_steps_are_said() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(300, 5)), rng.integers(0, 3, 300)
    data = RegressionData(FeatureRows(features, None, 5), RowTargets(target, None, None), 3)
    penalty = np.append(np.full(5, 0.01), 0)
    found = minimise(data, penalty, np.zeros((6, 3)), tolerance=1e-10, max_steps=1, on_step=lambda _: False)
    assert not found.converged
    assert found.steps == 1


@pytest.mark.parametrize("seed", range(4))
def test_ends_where_rounding_hides_every_fall(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(3000, 12)).astype(np.float32)
    target = (features @ rng.normal(size=(12, 8)) + rng.gumbel(size=(3000, 8))).argmax(1)
    penalty = np.append(np.full(12, 1 / 3000), 0)
    found = fit(FeatureRows(features, None, 12), RowTargets(target, None, None), 8, penalty, 1e-16)
    assert found.steps < 30
    assert found.passes < 300
