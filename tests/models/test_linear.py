import math

import numpy as np
import pytest
import scipy.sparse

import crossent.models.linear_rows as module
from crossent.kinds.blocks import Features, Widths
from crossent.models.linear import FittedLinear, settings_for_all_rows
from crossent.models.linear_rows import sparse_matrix
from crossent.models.settings import Linear


def draw_features(rows: int, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    texts = scipy.sparse.random_array((rows, 60), density=0.15, format="csr", rng=rng, dtype=np.float32)
    numbers = rng.normal(size=(rows, 1)).astype(np.float32)
    return Features(numbers, rng.integers(4, size=(rows, 1)).astype(np.int32), (4,), texts)


def draw_fitted(features: int, numbers: int, cardinalities: tuple[int, ...], C: float = 1.0) -> FittedLinear:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(features, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    return FittedLinear(weight, bias, numbers, cardinalities, C)


def test_logits_are_the_linear_form_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    features, fitted = draw_features(100, 1), draw_fitted(65, 1, (4,))
    expected = sparse_matrix(features).astype(np.float64) @ fitted.weight + fitted.bias
    np.testing.assert_allclose(fitted.logits(features), expected, atol=1e-5)
    monkeypatch.setattr(module, "CHUNK", 7)
    np.testing.assert_allclose(fitted.logits(features), expected, atol=1e-5)
    assert fitted.logits(features.take(np.empty(0, np.int64))).shape == (0, 3)


def test_dense_logits_are_the_linear_form() -> None:
    features = draw_features(50, 2)
    dense, fitted = Features(features.numbers, features.codes, (4,)), draw_fitted(5, 1, (4,))
    one_hot = np.eye(4)[features.codes[:, 0]]
    expected = np.hstack([features.numbers, one_hot]) @ fitted.weight.astype(np.float64) + fitted.bias
    logits = fitted.logits(dense)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_it_reads_its_own_widths_alone() -> None:
    fitted = draw_fitted(65, 1, (4,))
    assert fitted.reads(Widths(1, (4,), 60))
    assert not fitted.reads(Widths(2, (4,), 59))
    assert not fitted.reads(Widths(61, (4,), 0))
    assert fitted.ngram_weight().shape == (60, 3)


def test_the_penalty_of_all_rows_is_the_geometric_mean_of_those_of_folds() -> None:
    fits = tuple(draw_fitted(5, 1, (4,), C) for C in (2.0, 8.0, 32.0))
    assert math.isclose(settings_for_all_rows(Linear(), fits).C or 0, 8.0)


def test_arrays_that_do_not_fit_are_refused() -> None:
    weight = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        FittedLinear(weight, np.zeros(3, np.float32), 3, (), 1.0)
    with pytest.raises(ValueError, match="3 or less together"):
        FittedLinear(weight, np.zeros(2, np.float32), 0, (4,), 1.0)
    with pytest.raises(ValueError, match="4 numbers do not fit 3 features"):
        FittedLinear(weight, np.zeros(2, np.float32), 4, (), 1.0)
