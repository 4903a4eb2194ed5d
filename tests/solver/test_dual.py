"""Ascent of the dual against SciPy's minimum."""

import numpy as np
import pytest
import scipy.sparse

from crossent.kernels import info
from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.dual import ascend, start_at_probs, start_at_targets, suits_dual
from crossent.solver.newton import Objective, minimise
from crossent.solver.passes import open_passes
from tests.solver.reference import reference, sparse_rows

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")


def draw(kind: str, dtype: type = np.float64) -> tuple[RegressionData, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of many features; their features, targets as distributions, and weights in float64."""
    rng = np.random.default_rng(0)
    n, d, num_classes = 150, 1600, 5
    features = scipy.sparse.random_array((n, d), density=0.01, rng=rng).toarray()
    target, weight = rng.choice(num_classes, n, p=[0.5, 0.3, 0.1, 0.06, 0.04]), np.ones(n)
    distribution = np.eye(num_classes)[target]
    if kind == "weighted":
        weight = np.where(rng.random(n) < 0.2, 0.0, rng.random(n))
    if kind == "soft":
        distribution = rng.dirichlet(np.ones(num_classes), n) * rng.uniform(0.5, 2, (n, 1))
    targets = RowTargets(
        None if kind == "soft" else target,
        distribution.astype(dtype) if kind == "soft" else None,
        weight.astype(dtype) if kind == "weighted" else None,
    )
    return RegressionData(sparse_rows(features.astype(dtype)), targets, num_classes), features, distribution, weight


@pytest.mark.parametrize("kind", ["plain", "weighted", "soft"])
@pytest.mark.parametrize("C", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("begin", ["targets", "probs"])
def test_comes_near_the_optimum(kind: str, C: float, begin: str) -> None:
    data, features, distribution, weight = draw(kind)
    penalty = np.append(np.full(1600, 1 / (C * data.total_weight())), 0)
    assert suits_dual(data, penalty)
    best = reference(features, distribution, weight, penalty)
    with open_passes(data) as passes:
        objective = Objective(passes, penalty, data.total_weight())
        if begin == "targets":
            start = start_at_targets(data, np.zeros(5))
        else:
            point = objective.at(np.random.default_rng(0).normal(size=(1601, 5)) / 10)
            start = start_at_probs(data, passes, penalty, point.theta, point.gradient)
        found = ascend(data, penalty[0], start, gap=1e-8, max_passes=100)
        reached = objective.at(found.theta).objective
    assert 2 <= found.passes < 40
    assert best * (1 - 1e-9) <= reached <= best * (1 + 1e-6)


@pytest.mark.parametrize("kind", ["plain", "weighted", "soft"])
def test_fits_the_same_from_near_and_from_nothing(kind: str) -> None:
    data, features, distribution, weight = draw(kind)
    penalty = np.append(np.full(1600, 1 / data.total_weight()), 0)
    best = reference(features, distribution, weight, penalty)
    options = {"tolerance": 1e-9, "max_steps": 100, "on_step": lambda _: False}
    first = minimise(data, penalty, np.zeros((1601, 5)), **options)
    again = minimise(data, penalty, first.theta + 1, **options)
    assert first.converged
    assert again.converged
    assert [first.objective, again.objective] == pytest.approx([best, best], rel=1e-8)


def test_few_passes_are_all_that_are_taken() -> None:
    data, *_ = draw("plain")
    penalty = np.append(np.full(1600, 1 / 150), 0)
    found = minimise(data, penalty, np.zeros((1601, 5)), tolerance=1e-12, max_steps=3, on_step=lambda _: False)
    assert found.steps == 3
    assert not found.converged


def test_suits_only_sparse_rows_of_many_features_under_a_strong_penalty() -> None:
    data, features, *_ = draw("plain")
    strong, weak = np.append(np.full(1600, 1 / 150), 0), np.append(np.full(1600, 1e-6), 0)
    uneven = strong.copy()
    uneven[3] = 0.1
    dense = RegressionData(FeatureRows(features, None, 1600), data.targets, 5)
    assert suits_dual(data, strong)
    assert not any((suits_dual(data, weak), suits_dual(data, uneven), suits_dual(dense, strong)))
