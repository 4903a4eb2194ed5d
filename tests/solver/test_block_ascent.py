import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import scipy.special

from crossent.kernels import info
from crossent.kernels.regression import FeatureRows, SparseRows
from crossent.solver.block_ascent import LEAST_LOSS, BlockAscentSolution, solve_by_block_ascent

pytestmark = pytest.mark.skipif(not info().available, reason="there are no kernels here")

N, D, K, STRENGTH = 300, 40, 5, 20.0


def draw(num_classes: int = K) -> tuple[scipy.sparse.csr_array, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    matrix = scipy.sparse.random_array((N, D), density=0.2, format="csr", rng=rng, dtype=np.float32)
    logits = matrix @ rng.normal(size=(D, num_classes)) * 3 + rng.gumbel(size=(N, num_classes))
    target = logits.argmax(axis=1)
    counts = np.bincount(target, minlength=num_classes) + 0.5
    return matrix, target, np.log(counts / counts.sum())


def solve(
    matrix: scipy.sparse.csr_array, target: np.ndarray, prior: np.ndarray, **settings: float
) -> BlockAscentSolution:
    sparse = SparseRows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    rows = FeatureRows(np.empty((N, 0), np.float32), sparse, D)
    options = {"tolerance": 0.0, "max_passes": 200, "label_smoothing": 0.0} | settings
    strength = np.full(N, STRENGTH, np.float32)
    return solve_by_block_ascent(rows, target, prior, strength=strength, rng=np.random.default_rng(0), **options)


def objective(theta: np.ndarray, matrix: scipy.sparse.csr_array, wanted: np.ndarray, prior: np.ndarray) -> float:
    """Cross entropy to ``(n, K)`` weighted targets plus penalty, by rows; the bias counts from the prior."""
    return objective_and_slope(theta.ravel(), matrix, wanted, prior)[0]


def objective_and_slope(
    theta: np.ndarray, matrix: scipy.sparse.csr_array, wanted: np.ndarray, prior: np.ndarray
) -> tuple[float, np.ndarray]:
    rows = scipy.sparse.hstack([matrix.astype(np.float64), np.ones((N, 1))], format="csr")
    theta = theta.reshape(D + 1, -1)
    log_probs = scipy.special.log_softmax(rows @ theta + prior, axis=1)
    slope = rows.T @ (np.exp(log_probs) * wanted.sum(axis=1, keepdims=True) - wanted) + theta / STRENGTH
    return float(-(wanted * log_probs).sum() + (theta**2).sum() / (2 * STRENGTH)) / N, slope.ravel() / N


def optimum(matrix: scipy.sparse.csr_array, wanted: np.ndarray, prior: np.ndarray) -> float:
    start = np.zeros((D + 1) * len(prior))
    arguments = (matrix, wanted, prior)
    found = scipy.optimize.minimize(objective_and_slope, start, arguments, jac=True, tol=1e-9, options={"maxiter": 500})
    return float(found.fun)


def reached(
    solution: BlockAscentSolution, matrix: scipy.sparse.csr_array, wanted: np.ndarray, prior: np.ndarray
) -> float:
    theta = np.vstack([solution.weight, solution.bias - prior]).astype(np.float64)
    return objective(theta, matrix, wanted, prior)


def test_it_comes_to_the_optimum_of_another_solver() -> None:
    matrix, target, prior = draw()
    best = optimum(matrix, np.eye(K)[target], prior)
    solution = solve(matrix, target, prior)
    assert reached(solution, matrix, np.eye(K)[target], prior) == pytest.approx(best, rel=1e-3)
    assert abs(solution.gap) < 1e-3
    assert solution.loss < best


def test_a_few_passes_come_near_and_the_gap_says_how_near() -> None:
    matrix, target, prior = draw()
    best = optimum(matrix, np.eye(K)[target], prior)
    solution = solve(matrix, target, prior, max_passes=9)
    above = reached(solution, matrix, np.eye(K)[target], prior) - best
    assert 0 <= above < 0.1 * best
    assert above < solution.gap


def test_classes_left_out_come_in_again() -> None:
    matrix, target, prior = draw(num_classes=40)
    wanted = np.eye(40)[target]
    worst = objective(np.zeros((D + 1) * 40), matrix, wanted, prior)
    solution = solve(matrix, target, prior, max_passes=30)
    twice = solve(matrix, target, prior, max_passes=60)
    assert reached(solution, matrix, wanted, prior) < worst
    assert reached(solution, matrix, wanted, prior) == pytest.approx(reached(twice, matrix, wanted, prior), rel=2e-3)


def test_it_stops_at_its_tolerance() -> None:
    matrix, target, prior = draw()
    loose, tight = (solve(matrix, target, prior, tolerance=tolerance) for tolerance in (0.5, 0.05))
    for solution, tolerance in ((loose, 0.5), (tight, 0.05)):
        assert solution.gap <= tolerance * max(solution.loss, LEAST_LOSS)
    assert loose.passes < tight.passes < 60


def test_same_seed_same_bytes() -> None:
    problem = draw()
    assert solve(*problem).weight.tobytes() == solve(*problem).weight.tobytes()


def test_weighted_and_smoothed_it_comes_to_the_optimum_of_that() -> None:
    matrix, target, prior = draw()
    weight = np.random.default_rng(2).uniform(0.2, 5.0, N).astype(np.float32)
    wanted = weight[:, None] * (np.eye(K)[target] * 0.8 + 0.2 / K)
    sparse = SparseRows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    solution = solve_by_block_ascent(
        FeatureRows(np.empty((N, 0), np.float32), sparse, D),
        target,
        prior,
        strength=np.float32(STRENGTH) * weight,
        label_smoothing=0.2,
        tolerance=0.0,
        max_passes=200,
        rng=np.random.default_rng(0),
    )
    assert reached(solution, matrix, wanted, prior) == pytest.approx(optimum(matrix, wanted, prior), rel=1e-3)
