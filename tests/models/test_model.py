import numpy as np
import pytest

from crossent.kinds.blocks import Features
from crossent.models.model import Examples


def test_prior_of_a_class_without_rows_is_small_but_finite() -> None:
    features = Features(np.zeros((9, 1), dtype=np.float32), np.empty((9, 0), dtype=np.int32), ())
    examples = Examples(features, np.array([0] * 6 + [1] * 3), 3)
    np.testing.assert_allclose(np.exp(examples.log_prior()), np.array([6.5, 3.5, 0.5]) / 10.5)


def test_take_keeps_rows_and_labels_together() -> None:
    features = Features(np.arange(4, dtype=np.float32)[:, None], np.arange(4, dtype=np.int32)[:, None], (4,))
    some = Examples(features, np.arange(4), 4).take(np.array([2, 0]))
    assert some.features.numbers[:, 0].tolist() == some.features.codes[:, 0].tolist() == some.target.tolist() == [2, 0]


def test_shares_go_along_and_count_as_parts_of_rows() -> None:
    features = Features(np.arange(3, dtype=np.float32)[:, None], np.empty((3, 0), dtype=np.int32), ())
    shares = np.array([[0.5, 0.5], [0.0, 1.0], [0.25, 0.75]], np.float32)
    examples = Examples(features, np.array([0, 1, 1]), 2, shares)
    assert examples.class_counts().tolist() == [0.75, 2.25]
    np.testing.assert_allclose(np.exp(examples.log_prior()), np.array([1.25, 2.75]) / 4)
    some = examples.take(np.array([2, 2, 0]))
    assert some.distribution is not None
    assert some.learned_target is some.distribution
    assert some.distribution.tolist() == [[0.25, 0.75], [0.25, 0.75], [0.5, 0.5]]
    with pytest.raises(ValueError, match="do not fit"):
        Examples(features, examples.target, 3, shares)
