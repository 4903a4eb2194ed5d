import numpy as np
import pytest
import scipy.sparse
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from crossent.kernels import info
from crossent.kernels.dual_ascent import Duals, Omissions, ascend, duals_at_targets, duals_of
from crossent.kernels.regression import SparseRows, padded_classes

pytestmark = pytest.mark.skipif(not info().available, reason="there are no kernels here")


def draw(n: int, d: int, num_classes: int, seed: int = 0) -> tuple[scipy.sparse.csr_array, SparseRows, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = scipy.sparse.random_array((n, d), density=0.2, format="csr", rng=rng, dtype=np.float32)
    rows = SparseRows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    return matrix, rows, rng.integers(num_classes, size=n)


def weight_of(matrix: scipy.sparse.csr_array, target: np.ndarray, duals: Duals, C: float) -> np.ndarray:
    """C times the features times what the target has more than the duals, in float64; the bias last."""
    excess = -np.exp(duals.log_probs.astype(np.float64))
    excess[np.arange(len(target)), target] += 1
    return C * np.vstack([matrix.T @ excess, excess.sum(axis=0)])


@given(
    st.integers(1, 30),
    st.integers(1, 20),
    st.integers(2, 40),
    st.floats(0.01, 100),
    st.sampled_from([0.0, 1e-2]),
    st.integers(0, 9),
)
def test_weights_are_those_of_the_duals(n: int, d: int, num_classes: int, C: float, least: float, seed: int) -> None:
    matrix, rows, target = draw(n, d, num_classes, seed)
    duals = duals_at_targets(target, d, np.zeros(num_classes))
    for _ in range(3):
        ascend(rows, target, duals, num_classes, np.full(n, C, np.float32), np.arange(n), Omissions(least))
    probs = np.exp(duals.log_probs.astype(np.float64))
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=2e-3)
    assert (probs[:, num_classes:] == 0).all() or probs[:, num_classes:].max() < 1e-30
    expected = weight_of(matrix, target, duals, C)
    np.testing.assert_allclose(duals.weight, expected, atol=1e-4 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("num_classes", [2, 5, 16, 17, 70])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_each_dual_is_set_to_its_best_value(num_classes: int, C: float) -> None:
    """At the best value, log p plus the curvature times p is the same for all classes, less the logits that moved."""
    matrix, rows, target = draw(1, 12, num_classes)
    duals = duals_at_targets(target, 12, np.zeros(num_classes))
    for _ in range(10):
        ascend(rows, target, duals, num_classes, np.full(1, C, np.float32), np.zeros(1, np.int64), Omissions())
    logits = (matrix @ duals.weight[:-1] + duals.weight[-1])[0, :num_classes].astype(np.float64)
    np.testing.assert_allclose(np.exp(duals.log_probs[0, :num_classes]), scipy.special.softmax(logits), atol=2e-3)


def test_loss_and_gap_are_those_of_the_logits_at_the_visit() -> None:
    matrix, rows, target = draw(40, 15, 6)
    offset = np.linspace(-1, 1, 6)
    duals = duals_at_targets(target, 15, offset)
    ascend(rows, target, duals, 6, np.ones(40, np.float32), np.arange(40), Omissions())
    # One row is visited alone, so that nothing moves before.
    before = np.exp(duals.log_probs[3, :6].astype(np.float64))
    logits = (matrix[[3]] @ duals.weight[:-1, :6] + duals.weight[-1, :6])[0].astype(np.float64) + offset
    loss, gap = ascend(rows, target, duals, 6, np.ones(40, np.float32), np.array([3]), Omissions())
    log_probs = scipy.special.log_softmax(logits)
    assert loss == pytest.approx(-log_probs[target[3]], rel=1e-5)
    assert gap == pytest.approx(float(np.sum(before * (np.log(before) - log_probs))), abs=1e-5)


def test_order_is_obeyed_and_rows_left_out_stay() -> None:
    _, rows, target = draw(10, 8, 3)
    duals = duals_at_targets(target, 8, np.zeros(3))
    untouched = duals.log_probs[5:].copy()
    ascend(rows, target, duals, 3, np.ones(10, np.float32), np.arange(5), Omissions())
    assert (duals.log_probs[5:] == untouched).all()
    assert (duals.log_probs[:5] != duals_at_targets(target, 8, np.zeros(3)).log_probs[:5]).any()


def test_rows_without_elements_learn_the_bias() -> None:
    target = np.array([0, 0, 0, 1])
    rows = SparseRows(np.zeros(5, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    duals = duals_at_targets(target, 3, np.zeros(2))
    for _ in range(1000):
        ascend(rows, target, duals, 2, np.full(4, 100, np.float32), np.arange(4), Omissions())
    assert (duals.weight[:-1] == 0).all()
    assert scipy.special.softmax(duals.weight[-1, :2])[0] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_classes", [2, 16, 20, 70])
@pytest.mark.parametrize("strength", [0.01, 1.0, 50.0])
def test_a_visited_row_has_the_probabilities_of_its_logits(dtype: type, num_classes: int, strength: float) -> None:
    rng = np.random.default_rng(num_classes)
    n, d = 9, 30
    csr = scipy.sparse.random_array((n, d), density=0.3, rng=rng, format="csr", dtype=np.float64).astype(dtype)
    rows = SparseRows(csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data)
    theta = np.zeros((d + 1, padded_classes(num_classes)), dtype)
    theta[:, :num_classes] = rng.normal(size=(d + 1, num_classes))
    duals = duals_of(rng.dirichlet(np.ones(num_classes), n), theta, np.zeros(num_classes))
    log_probs = duals.log_probs
    of_rows = np.full(n, strength, dtype)
    of_rows[4] = 0
    before, old_probs = theta.astype(float), np.exp(log_probs.astype(float))
    gap = 0.0
    for row in (3, 4, 0):
        logits = np.append(csr[[row]].toarray(), 1) @ theta[:, :num_classes].astype(float)
        wanted = logits - scipy.special.logsumexp(logits)
        old = old_probs[row, :num_classes]
        gap += of_rows[row] * (old * (np.log(old) - wanted)).sum()
        _, found = ascend(rows, None, duals, num_classes, of_rows, np.array([row]), Omissions())
        gap -= found
        logits = np.append(csr[[row]].toarray(), 1) @ theta[:, :num_classes].astype(float)
        if row != 4:
            np.testing.assert_allclose(
                np.exp(log_probs[row, :num_classes]),
                scipy.special.softmax(logits),
                atol=2e-3 if dtype == np.float32 else 1e-3,
            )
    assert abs(gap) < 1e-3 * (1 + strength)
    # The weights are what the probabilities make of the features, whatever these are.
    moved = of_rows[:, None] * (old_probs - np.exp(log_probs.astype(float)))
    whole = np.hstack([csr.toarray(), np.ones((n, 1))])
    np.testing.assert_allclose(theta - before, whole.T @ moved, atol=1e-4 * (1 + strength))
