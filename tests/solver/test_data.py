"""Rows to fit."""

import numpy as np
import pytest
import scipy.sparse

from crossent.kernels.regression import FeatureRows, RowTargets, SparseRows
from crossent.solver.data import RegressionData
from crossent.solver.plain import sparse_matrix


def draw(soft: bool, weighted: bool) -> tuple[RegressionData, scipy.sparse.csr_array, np.ndarray]:
    rng = np.random.default_rng(0)
    sparse = scipy.sparse.random_array((9, 6), density=0.4, rng=rng).tocsr()
    rows = FeatureRows(
        rng.normal(size=(9, 2)), SparseRows(sparse.indptr.astype(np.int64), sparse.indices, sparse.data), 6
    )
    distribution = rng.random((9, 3)) if soft else np.eye(3)[rng.integers(0, 3, 9)]
    weight = rng.random(9) if weighted else None
    targets = RowTargets(None if soft else distribution.argmax(1), distribution if soft else None, weight)
    return RegressionData(rows, targets, 3), sparse, distribution * (1 if weight is None else weight[:, None])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_totals(soft: bool, weighted: bool) -> None:
    data, _, shares = draw(soft, weighted)
    np.testing.assert_allclose(data.class_totals(), shares.sum(0))
    assert data.total_weight() == pytest.approx(shares.sum())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("chosen", [[], [3], [8, 0, 0, 5]])
def test_taken_rows(soft: bool, weighted: bool, chosen: list[int]) -> None:
    data, sparse, shares = draw(soft, weighted)
    found = data.take(np.array(chosen, np.int64))
    np.testing.assert_array_equal(found.rows.dense, data.rows.dense[chosen])
    np.testing.assert_array_equal(sparse_matrix(found.rows).toarray(), sparse.toarray()[chosen])
    np.testing.assert_allclose(found.class_totals(), shares[chosen].sum(0))
    assert len(found.rows) == len(chosen)
