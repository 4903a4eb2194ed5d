import numpy as np
import scipy.sparse

from crossent.kinds.blocks import Widths, features_of, join_features, join_widths


def test_parts_stand_side_by_side_block_by_block() -> None:
    ones, codes = np.ones(2, np.float32), np.array([0, 3], np.int32)
    ngrams = scipy.sparse.csr_array(np.array([[0, 1, 0], [2, 0, 0]], np.float32))
    parts = [
        features_of(2, numbers=[ones, 2 * ones]),
        features_of(2, codes=[codes], cardinalities=[4]),
        features_of(2, ngrams=ngrams),
        features_of(2, numbers=[3 * ones], codes=[1 - codes, codes], cardinalities=[5, 6]),
        features_of(2, ngrams=ngrams[:, :1]),
    ]
    joined = join_features(parts, 2)
    assert joined.numbers.tolist() == [[1, 2, 3]] * 2
    assert joined.codes.tolist() == [[0, 1, 0], [3, -2, 3]]
    assert (joined.numbers.dtype, joined.codes.dtype) == (np.float32, np.int32)
    assert joined.cardinalities == (4, 5, 6)
    assert joined.ngrams is not None
    assert joined.ngrams.toarray().tolist() == [[0, 1, 0, 0], [2, 0, 0, 2]]
    widths = [Widths(numbers=2), Widths(cardinalities=(4,)), Widths(ngrams=3), Widths(1, (5, 6)), Widths(ngrams=1)]
    assert join_widths(widths) == Widths(3, (4, 5, 6), 4)
    assert join_widths(widths).total == 3 + 15 + 4


def test_blocks_that_nobody_gives_are_empty() -> None:
    joined = join_features([], 3)
    assert (joined.numbers.shape, joined.codes.shape, joined.cardinalities, joined.ngrams) == ((3, 0), (3, 0), (), None)
    assert len(joined) == 3


def test_rows_are_taken_by_position_or_mask() -> None:
    ngrams = scipy.sparse.csr_array(np.eye(3, dtype=np.float32))
    features = features_of(3, numbers=[np.arange(3, dtype=np.float32)], ngrams=ngrams)
    for rows in (np.array([2, 0]), np.array([True, False, True])):
        taken = features.take(rows)
        assert sorted(taken.numbers[:, 0].tolist()) == [0.0, 2.0]
        assert taken.ngrams is not None
        assert (taken.ngrams != ngrams[rows]).nnz == 0
