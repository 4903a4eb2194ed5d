"""A sample of rows that represents all rows."""

import numpy as np
import pytest
import scipy.sparse

from crossent.kernels.regression import FeatureRows, RowTargets, SparseRows
from crossent.solver.data import RegressionData
from crossent.solver.sample import take_sample


@pytest.mark.parametrize("weighted", [False, True])
def test_means_are_those_of_all_rows(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    features, probs = rng.normal(size=(n, 3)), rng.dirichlet(np.ones(4), n)
    weight = rng.random(n) if weighted else None
    data = RegressionData(FeatureRows(features, None, 3), RowTargets(np.zeros(n, np.int64), None, weight), 4)
    every, some = take_sample(data, probs, n), take_sample(data, probs, 5000)
    assert len(every.weight) == n
    assert len(some.weight) == 5000
    means = [
        (s.weight[:, None] * s.features(slice(None)) ** 2 * (1 - s.probs[:, :1])).sum(axis=0) for s in (every, some)
    ]
    np.testing.assert_allclose(*means, rtol=0.05)


def test_features_are_dense_and_end_in_ones() -> None:
    sparse = scipy.sparse.csr_array([[0.0, 2.0, 0.0], [0.0, 0.0, -3.0]])
    elements = SparseRows(sparse.indptr.astype(np.int64), sparse.indices.astype(np.int32), sparse.data)
    rows = FeatureRows(np.array([[5.0], [7.0]]), elements, 3)
    data = RegressionData(rows, RowTargets(np.array([0, 1]), None, None), 2)
    sample = take_sample(data, np.full((2, 2), 0.5), 10)
    np.testing.assert_array_equal(sample.features(slice(None)), [[5, 2, 0, 1], [7, 0, -3, 1]])
    np.testing.assert_array_equal(sample.largest(), [7, 2, 3, 1])
