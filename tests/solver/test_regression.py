import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from crossent.kernels.regression import RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.regression import (
    Coefficients,
    Penalty,
    Solution,
    linear_logits,
    rows_of_table,
    solve_softmax_regression,
    start_at_prior,
)


def draw(rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, 3)).astype(np.float32)
    codes = rng.integers(0, 4, size=(rows, 2))
    logits = numbers @ rng.normal(size=(3, 3)) + rng.normal(size=(4, 3))[codes[:, 0]]
    return numbers, codes, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def solve(numbers: np.ndarray, rows_of_codes: np.ndarray, target: np.ndarray, width: int, C: float) -> Solution:
    data = RegressionData(rows_of_table(numbers, rows_of_codes, width), RowTargets(target, None, None), 3)
    start = Coefficients(np.zeros((width, 3)), np.zeros(3))
    return solve_softmax_regression(
        data,
        start,
        Penalty(C, np.ones(width)),
        tolerance=1e-9,
        max_steps=100,
        on_step=lambda *_: False,
    )


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_reaches_the_optimum_of_scikit_learn(C: float) -> None:
    numbers, codes, target = draw()
    rows = codes + np.array([3, 7])
    found = solve(numbers, rows, target, 11, C)
    ours = found.coefficients
    dense = np.hstack([numbers, np.eye(4)[codes[:, 0]], np.eye(4)[codes[:, 1]]])
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=10_000, solver="newton-cg").fit(dense, target)

    def objective(weight: np.ndarray, bias: np.ndarray) -> float:
        logits = dense @ weight + bias
        log_sum = np.logaddexp.reduce(logits, axis=1)
        return float(C * (log_sum - logits[np.arange(len(target)), target]).sum() + (weight**2).sum() / 2)

    best = objective(theirs.coef_.T, theirs.intercept_)
    reached = objective(ours.weight, ours.bias)
    assert reached <= best * (1 + 1e-6)
    assert found.optimum.converged
    # The bound holds, to the rounding of float32 sums.
    assert reached - best <= found.optimum.gap * C * len(target) + 1e-6 * best
    assert found.optimum.objective * C * len(target) == pytest.approx(reached, rel=1e-6)
    table = rows_of_table(numbers, rows, 11)
    np.testing.assert_allclose(linear_logits(table, ours), dense @ ours.weight + ours.bias, atol=1e-12)


def test_numbers_alone_and_codes_alone() -> None:
    numbers, codes, target = draw()
    none = np.empty((len(target), 0))
    only_numbers = solve(numbers, none.astype(np.int64), target, 3, 1.0)
    only_codes = solve(none.astype(np.float32), codes[:, :1], target, 4, 1.0)
    assert np.abs(only_numbers.coefficients.weight).max() > 0.1
    assert np.abs(only_codes.coefficients.weight).max() > 0.1


def test_watcher_sees_the_loss_fall_and_can_stop() -> None:
    numbers, codes, target = draw()
    losses: list[float] = []

    def watch(loss: float, _coefficients: Coefficients) -> bool:
        losses.append(loss)
        return len(losses) == 3

    data = RegressionData(rows_of_table(numbers, codes + 3, 7), RowTargets(target, None, None), 3)
    start = Coefficients(np.zeros((7, 3)), np.zeros(3))
    solve_softmax_regression(data, start, Penalty(10.0, np.ones(7)), tolerance=1e-9, max_steps=100, on_step=watch)
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < np.log(3)


@pytest.mark.parametrize("soft", [False, True])
def test_the_start_predicts_the_shares_of_the_classes(soft: bool) -> None:
    numbers, _, target = draw(400)
    weight = np.linspace(0, 2, 400).astype(np.float32)
    rows = rows_of_table(numbers, np.empty((400, 0), np.int64), 3)
    distribution = np.eye(3, dtype=np.float32)[target]
    data = RegressionData(rows, RowTargets(None if soft else target, distribution if soft else None, weight), 3)
    start = start_at_prior(data)
    assert (start.weight == 0).all()
    np.testing.assert_allclose(np.exp(start.bias), np.bincount(target, weight) / weight.sum(), atol=2e-3)
