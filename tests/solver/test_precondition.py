"""Approximate Hessians against the Hessian itself, where they are exact."""

import numpy as np
import pytest

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.coupled import couple
from crossent.solver.data import RegressionData
from crossent.solver.passes import open_passes
from crossent.solver.precondition import MOST_COUPLED, Preconditioner, divide_modes


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=1, keepdims=True)


def divided_product(dtype: type, scale: np.ndarray, theta: np.ndarray, make: object) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    n, (d, num_classes) = 400, (len(theta) - 1, theta.shape[1])
    features = (rng.normal(size=(n, d)) * scale).astype(dtype)
    penalty = np.append(0.01 * scale**2, 0)
    weight = rng.random(n).astype(dtype)
    targets = RowTargets(rng.integers(0, num_classes, n), None, weight)
    data = RegressionData(FeatureRows(features, None, d), targets, num_classes)
    direction = centred(rng.normal(size=theta.shape)) / np.append(scale, 1)[:, None]
    with open_passes(data) as passes:
        passes.gradient(theta)
        wide = passes.widen(direction)
        product = passes.product(wide) / dtype(data.total_weight()) + penalty[:, None].astype(dtype) * wide
        found = make(data, passes, penalty)(product)[:, :num_classes]
    return found * np.append(scale, 1)[:, None], direction * np.append(scale, 1)[:, None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1.0, 1e-6, 1e9])
def test_the_whole_is_inverted_as_it_is_whatever_the_units(dtype: type, size: float) -> None:
    rng = np.random.default_rng(1)
    scale = np.array([1.0, size, 1.0, 3.0])
    theta = rng.normal(size=(5, 3)) / np.append(scale, 1)[:, None]
    found, wanted = divided_product(dtype, scale, theta, couple)
    np.testing.assert_allclose(found, wanted, atol=1e-3 if dtype == np.float32 else 1e-5)


@pytest.mark.parametrize("num_classes", [2, 3, 40])
def test_modes_are_exact_where_all_rows_have_the_same_probabilities(num_classes: int) -> None:
    theta = np.zeros((5, num_classes))
    theta[-1] = np.random.default_rng(1).normal(size=num_classes)
    if num_classes > 32:
        # Modes that share a block are exact where they have the same curvature.
        theta[-1] = 0
    found, wanted = divided_product(np.float64, np.ones(4), theta, divide_modes)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("features", [MOST_COUPLED // 4 - 1, MOST_COUPLED // 4])
def test_the_whole_is_inverted_where_it_is_small(features: int) -> None:
    rng = np.random.default_rng(0)
    targets = RowTargets(rng.integers(0, 4, 50), None, None)
    data = RegressionData(FeatureRows(rng.normal(size=(50, features)), None, features), targets, 4)
    penalty = np.append(np.full(features, 0.1), 0)
    with open_passes(data) as passes:
        passes.gradient(rng.normal(size=(features + 1, 4)))
        gradient = passes.widen(centred(rng.normal(size=(features + 1, 4))))
        found, exact = Preconditioner(data, passes, penalty).at(1)(gradient), couple(data, passes, penalty)(gradient)
    assert np.allclose(found, exact) == (features < MOST_COUPLED // 4)


def test_kept_while_it_is_young() -> None:
    rng = np.random.default_rng(0)
    data = RegressionData(
        FeatureRows(rng.normal(size=(50, 2)), None, 2), RowTargets(rng.integers(0, 3, 50), None, None), 3
    )
    with open_passes(data) as passes:
        passes.gradient(np.zeros((3, 3)))
        preconditioner = Preconditioner(data, passes, np.array([0.1, 0.1, 0]))
        first = preconditioner.at(1)
        assert preconditioner.at(1) is first
        assert preconditioner.at(100) is not first
