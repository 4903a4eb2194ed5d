"""Dual ascent in NumPy against the kernel."""

import numpy as np
import pytest
import scipy.sparse

from crossent.kernels import info
from crossent.kernels.dual_ascent import Duals, Omissions, ascend, duals_at_targets, duals_of
from crossent.kernels.regression import SparseRows, padded_classes, zeros_at_line
from crossent.solver.plain_ascent import plain_ascend

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels to compare with")

N, D = 120, 50


def draw(num_classes: int, dtype: type) -> tuple[SparseRows, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(num_classes)
    matrix = scipy.sparse.random_array((N, D), density=0.2, format="csr", rng=rng, dtype=dtype)
    rows = SparseRows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    strength = np.where(rng.random(N) < 0.1, 0, rng.uniform(1, 60, N)).astype(dtype)
    return rows, rng.integers(num_classes, size=N), strength


def start(target: np.ndarray, num_classes: int, dtype: type, soft: bool) -> Duals:
    prior = np.log(np.full(num_classes, 1 / num_classes))
    if dtype == np.float32 and not soft:
        return duals_at_targets(target, D, prior, label_smoothing=0.1)
    probs = np.random.default_rng(3).dirichlet(np.full(num_classes, 0.2), N)
    return duals_of(probs, zeros_at_line((D + 1, padded_classes(num_classes)), dtype), prior)


@pytest.mark.parametrize("num_classes", [2, 16, 17, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("soft", [False, True])
def test_each_pass_is_that_of_the_kernel(num_classes: int, dtype: type, soft: bool) -> None:
    rows, target, strength = draw(num_classes, dtype)
    ours, plain = (start(target, num_classes, dtype, soft) for _ in range(2))
    of_loss = None if soft else target
    near = 3e-5 if dtype == np.float32 else 1e-8
    for i, omissions in enumerate((Omissions(), Omissions(1e-2, 1e-5), Omissions(0.0, 1e-3), Omissions())):
        order = np.random.default_rng(i).permutation(N)
        native = ascend(rows, of_loss, ours, num_classes, strength, order, omissions)
        found = plain_ascend(rows, of_loss, plain, num_classes, strength, order, omissions)
        if omissions == Omissions():
            np.testing.assert_allclose(found, native, rtol=10 * near, atol=10 * near)
        np.testing.assert_allclose(plain.weight, ours.weight, rtol=near, atol=10 * near)
        np.testing.assert_allclose(np.exp(plain.log_probs), np.exp(ours.log_probs), atol=near)


def test_a_column_that_stands_twice_in_a_row_counts_twice() -> None:
    rows, target, strength = draw(3, np.float32)
    twice = SparseRows(2 * rows.ends, np.repeat(rows.columns, 2), np.repeat(rows.values / 2, 2))
    once, doubled = (start(target, 3, np.float32, soft=False) for _ in range(2))
    for part, duals in ((rows, once), (twice, doubled)):
        plain_ascend(part, target, duals, 3, strength, np.arange(N), Omissions())
    np.testing.assert_allclose(doubled.weight, once.weight, atol=1e-5)
