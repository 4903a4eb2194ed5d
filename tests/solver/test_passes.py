from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.passes import Passes


def draw() -> tuple[RegressionData, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = FeatureRows(rng.normal(size=(1001, 7)), None, 7)
    return RegressionData(rows, RowTargets(rng.integers(0, 4, 1001), None, rng.random(1001)), 4), rng.normal(
        size=(8, 4)
    )


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing_but_roundings(threads: int) -> None:
    data, theta = draw()
    with ThreadPoolExecutor(threads) as pool:
        one, many = Passes(data, pool, 1), Passes(data, pool, threads)
        (loss, gradient), (same_loss, same_gradient) = one.gradient(theta), many.gradient(theta)
        assert loss == pytest.approx(same_loss, rel=1e-12)
        np.testing.assert_allclose(gradient, same_gradient, rtol=1e-10, atol=1e-10)
        direction = one.widen(theta[::-1])
        np.testing.assert_allclose(one.product(direction), many.product(direction), rtol=1e-10, atol=1e-10)


def test_curvature_along_the_bias_is_the_mean_covariance_of_the_classes() -> None:
    data, theta = draw()
    with ThreadPoolExecutor(2) as pool:
        passes = Passes(data, pool, 2)
        passes.gradient(theta)
        weight = data.targets.row_weight
        assert weight is not None
        wanted = np.zeros((4, 4))
        for p, w in zip(passes.probs(), weight, strict=True):
            wanted += w * (np.diag(p) - np.outer(p, p))
        np.testing.assert_allclose(passes.bias_curvature(), wanted / weight.sum(), rtol=1e-10)
