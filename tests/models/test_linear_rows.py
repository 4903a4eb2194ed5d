import numpy as np
import scipy.sparse

from crossent.kinds.blocks import Features
from crossent.models.linear_rows import dense_rows, sparse_matrix


def test_all_features_stand_side_by_side() -> None:
    rng = np.random.default_rng(0)
    texts = scipy.sparse.random_array((5, 60), density=0.15, format="csr", rng=rng, dtype=np.float32)
    features = Features(
        rng.normal(size=(5, 1)).astype(np.float32), np.array([[0], [3], [1], [1], [2]], np.int32), (4,), texts
    )
    expected = np.hstack([features.numbers, np.eye(4)[features.codes[:, 0]], texts.toarray()])
    np.testing.assert_array_equal(sparse_matrix(features).toarray(), expected)


def test_dense_rows_hold_numbers_and_then_codes() -> None:
    features = Features(np.ones((2, 3), np.float32), np.array([[1, 0], [2, 1]], np.int32), (3, 2))
    assert dense_rows(features).features == 3 + 3 + 2
