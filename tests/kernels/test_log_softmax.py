"""Log-probabilities by the kernel against SciPy's in float64."""

import numpy as np
import pytest
import scipy.special

from crossent.kernels import info
from crossent.kernels.log_softmax import write_log_softmax

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 3, 7, 8, 9, 31, 1000])
def test_rows_of_any_scale_are_those_of_scipy(dtype: type, classes: int) -> None:
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(40, classes)) * 10.0 ** rng.uniform(-3, 4, size=(40, 1))).astype(dtype)
    logits[::7, classes // 2 :: 2] = -np.inf
    logits[:, 0] = np.where(np.isneginf(logits).all(axis=1), 0, logits[:, 0])
    log_probs = np.full((40, classes), 7.0)
    write_log_softmax(logits, log_probs)
    expected = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_without_an_answer_is_nan_and_its_neighbours_are_not(dtype: type) -> None:
    logits = np.zeros((7, 5), dtype=dtype)
    logits[1, 2], logits[3, 4], logits[5] = np.nan, np.inf, -np.inf
    log_probs = np.empty((7, 5))
    write_log_softmax(logits, log_probs)
    assert np.isnan(log_probs[[1, 3, 5]]).all()
    np.testing.assert_allclose(log_probs[[0, 2, 4, 6]], -np.log(5), rtol=1e-15)


def test_no_rows_are_no_error_and_arrays_that_do_not_fit_are_one() -> None:
    write_log_softmax(np.empty((0, 3)), np.empty((0, 3)))
    for logits, log_probs in (
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros((3, 2)).T, np.zeros((2, 3))),
        (np.zeros((2, 3)), np.zeros((3, 2)).T),
    ):
        with pytest.raises(ValueError, match="do not fit"):
            write_log_softmax(logits, log_probs)
