"""L1 and elastic-net penalties against scikit-learn's saga, and the bound against what is known of the optimum."""

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.elastic import ElasticPenalty, minimise_elastic
from crossent.solver.newton import Optimum
from tests.solver.reference import sparse_rows


def wine() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_wine(return_X_y=True)
    return (X - X.mean(0)) / X.std(0), y


def fit(
    data: RegressionData, C: float, l1_ratio: float, tolerance: float, *, max_steps: int = 300, factor: float = 1.0
) -> Optimum:
    strength = np.append(np.full(data.rows.features, factor / (C * data.total_weight())), 0)
    penalty = ElasticPenalty(l1_ratio * strength, (1 - l1_ratio) * strength)
    start = np.zeros((data.rows.features + 1, data.num_classes))
    return minimise_elastic(data, penalty, start, tolerance=tolerance, max_steps=max_steps, on_step=lambda _: False)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("C", [0.1, 1.0])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_same_as_scikit_learn(sparse: bool, C: float, l1_ratio: float) -> None:
    X, y = wine()
    rows = sparse_rows(X) if sparse else FeatureRows(X, None, 13)
    found = fit(RegressionData(rows, RowTargets(y, None, None), 3), C, l1_ratio, 1e-9)
    theirs = LogisticRegression(C=C, l1_ratio=l1_ratio, solver="saga", tol=1e-10, max_iter=100_000).fit(X, y)
    assert found.converged
    np.testing.assert_allclose(found.theta[:-1].T, theirs.coef_, atol=2e-4)
    assert ((np.abs(theirs.coef_) > 1e-6) == (found.theta[:-1] != 0).T).all()


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bound_holds_all_the_way(l1_ratio: float, dtype: type) -> None:
    X, y = wine()
    rng = np.random.default_rng(0)
    soft = (rng.dirichlet(np.ones(3), len(y)) * rng.uniform(0.5, 2, (len(y), 1)) + np.eye(3)[y]).astype(dtype)
    targets = RowTargets(None, soft, rng.random(len(y)).astype(dtype))
    data = RegressionData(FeatureRows(X.astype(dtype), None, 13), targets, 3)
    best = fit(data, 1.0, l1_ratio, 1e-6).objective
    for steps in (1, 2, 4, 8):
        early = fit(data, 1.0, l1_ratio, 1e-9, max_steps=steps)
        assert early.objective - best <= early.gap + 1e-5 * best
        assert not early.converged or early.gap < 1e-9 * early.objective


def test_a_strong_penalty_leaves_only_the_bias() -> None:
    X, y = wine()
    data = RegressionData(FeatureRows(X, None, 13), RowTargets(y, None, None), 3)
    found = fit(data, 1e-4, 1.0, 1e-9)
    assert (found.theta[:-1] == 0).all()
    assert found.converged
    shares = np.bincount(y) / len(y)
    assert found.loss == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-9)


def test_no_penalty_is_plain_softmax_regression() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X @ rng.normal(size=(3, 3)) + 2 * rng.gumbel(size=(300, 3))).argmax(1)
    found = fit(RegressionData(FeatureRows(X, None, 3), RowTargets(y, None, None), 3), 1.0, 1.0, 1e-9, factor=0.0)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(found.theta[:-1] - found.theta[:-1].mean(1, keepdims=True), theirs.coef_.T, atol=1e-4)
