"""The inverse of a small Hessian where rounding makes it hard."""

import numpy as np
import pytest

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.coupled import couple, scale_to_ones
from crossent.solver.data import RegressionData
from crossent.solver.passes import open_passes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_singular_moments_are_no_obstacle(dtype: type) -> None:
    rng = np.random.default_rng(0)
    # Sums of the same few columns, so that rounding alone says whether an eigenvalue is below zero.
    features = (rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 40))).astype(dtype)
    data = RegressionData(FeatureRows(features, None, 40), RowTargets(rng.integers(0, 8, 2000), None, None), 8)
    penalty = np.append(np.full(40, 1e-12), 0)
    with open_passes(data) as passes:
        passes.gradient(rng.normal(size=(41, 8)))
        gradient = passes.widen(rng.normal(size=(41, 8)))
        found = couple(data, passes, penalty)(gradient)
    assert np.isfinite(found).all()
    assert np.vdot(found, gradient) > 0


def test_scaled_to_ones() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 4)) * [1, 1e-3, 1e2, 1]
    moments = root.T @ root
    scaled = moments.copy()
    size = scale_to_ones(scaled, np.zeros(4), 0.5)
    np.testing.assert_allclose(scaled.diagonal(), 1.5)
    np.testing.assert_allclose(scaled - 0.5 * np.eye(4), moments / size / size[:, None])
