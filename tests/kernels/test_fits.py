"""Every binding refuses what its kernel would read or write beyond."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from crossent.errors import ShapeError
from crossent.kernels import adamw, curves, dual_ascent, linear, ngrams, products, regression
from crossent.kernels.library import info
from crossent.kernels.problem import RowTerms

pytestmark = pytest.mark.skipif(not info().available, reason="the kernels are not built, or turned off")

N, P, B, S, K = 5, 3, 2, 4, 3
W = regression.padded_classes(K)


def curves_of(
    numbers: int = P, pieces: int = B, size: int = S, dtype: torch.dtype = torch.float32, left: int = P
) -> curves.Curves:
    return curves.Curves(
        torch.zeros(left, pieces),
        torch.zeros(numbers, pieces),
        torch.zeros(numbers, pieces, size, dtype=dtype),
        torch.zeros(numbers, 1, size),
        torch.zeros(numbers, 1, size),
        3.0,
    )


def sparse_rows(ends: list[int]) -> regression.SparseRows:
    return regression.SparseRows(np.array(ends), np.zeros(N, np.int32), np.zeros(N, np.float32))


def add_gradient(
    dense: int = N, target: int = N, width: int = W, dtype: type = np.float32, ends: list[int] | None = None
) -> None:
    sparse = None if ends is None else sparse_rows(ends)
    rows = regression.FeatureRows(np.zeros((dense, P), np.float32), sparse, P)
    targets = regression.RowTargets(np.zeros(target, np.int64), None, None)
    weight, sums = np.zeros((P + 1, W), np.float32), np.zeros((P + 1, width), np.float32)
    regression.add_gradient(rows, targets, K, weight, np.zeros((N, K), dtype), sums)


def ascend(rows: int = N, features: int = P, columns: int = N, order: type = np.int64) -> None:
    sparse = regression.SparseRows(np.arange(N + 1), np.zeros(columns, np.int32), np.zeros(N, np.float32))
    duals = dual_ascent.duals_at_targets(np.zeros(rows, np.int64), features, np.zeros(K))
    strength = np.ones(N, np.float32)
    dual_ascent.ascend(sparse, None, duals, K, strength, np.arange(N).astype(order), dual_ascent.Omissions())


def linear_losses(d: int = P, classes: int = K, dtype: torch.dtype = torch.float32) -> None:
    layer = linear.Layer(torch.zeros(N, P), torch.zeros(K, d, dtype=dtype), torch.zeros(classes))
    terms = RowTerms(target=torch.zeros(N, dtype=torch.int64))
    linear.linear_losses(layer, terms, 1.0, None, linear.LayerGradient(None, None, None))


def step(values: int = P, mean: int = P, decaying: int = 0, dtype: torch.dtype = torch.float32) -> None:
    of = torch.zeros(values), torch.zeros(P, dtype=dtype), torch.zeros(mean), torch.zeros(P)
    adamw.step(*of, decaying, adamw.Factors(0.1, 1.0, 0.1, 0.1, 1.0, 1e-8))


def multiply(depth: int = P, rows: int = N, bias: int = K) -> None:
    products.multiply(torch.zeros(N, P), torch.zeros(depth, K), torch.zeros(rows, K), bias=torch.zeros(bias))


def scatter(factor: int = N, columns: int = P) -> None:
    target = torch.zeros(N, dtype=torch.int64)
    products.scatter(torch.zeros(N, P), torch.zeros(factor), target, torch.zeros(K, columns))


def count_ngrams(ends: list[int], dtype: type = np.int64) -> None:
    documents = ngrams.Documents(b"some text", np.array(ends, dtype))
    ngrams.count_ngrams(documents, ngrams.Alphabet(np.ones(128, np.uint8), 3, 5))


FITTING: list[Callable[[], object]] = [
    lambda: curves.forward(torch.zeros(N, P), curves_of()),
    lambda: curves.backward(torch.zeros(N, P), curves_of(), torch.zeros(N, P * S)),
    add_gradient,
    lambda: add_gradient(ends=[0, 1, 2, 3, 4, 5]),
    ascend,
    linear_losses,
    step,
    multiply,
    scatter,
    lambda: products.add_column_sums(torch.zeros(N, P), torch.zeros(P)),
    lambda: count_ngrams([0, 4, 9]),
]
UNFIT: list[Callable[[], object]] = [
    lambda: curves.forward(torch.zeros(N, P - 1), curves_of()),
    lambda: curves.forward(torch.zeros(N, P + 1), curves_of()),
    lambda: curves.forward(torch.zeros(P, N).T, curves_of()),
    lambda: curves.forward(torch.zeros(N, P, dtype=torch.float64), curves_of()),
    lambda: curves.forward(torch.zeros(N, P), curves_of(left=P - 1)),
    lambda: curves.forward(torch.zeros(N, P), curves_of(pieces=0)),
    lambda: curves.forward(torch.zeros(N, P), curves_of(dtype=torch.float64)),
    lambda: curves.backward(torch.zeros(N, P), curves_of(), torch.zeros(N, P * S - 1)),
    lambda: add_gradient(dense=N - 1),
    lambda: add_gradient(target=N - 1),
    lambda: add_gradient(width=W - 1),
    lambda: add_gradient(dtype=np.float64),
    lambda: add_gradient(ends=[0, 1, 2, 3, 4, 6]),
    lambda: add_gradient(ends=[-1, 1, 2, 3, 4, 5]),
    lambda: add_gradient(ends=[0, 1, 2, 3, 5]),
    lambda: regression.couplings(
        np.zeros((N, P), np.float32), np.zeros((N, K), np.float32), np.ones(N - 1, np.float32)
    ),
    lambda: ascend(rows=N - 1),
    lambda: ascend(columns=N - 1),
    lambda: ascend(order=np.int32),
    lambda: linear_losses(d=P - 1),
    lambda: linear_losses(classes=K - 1),
    lambda: linear_losses(dtype=torch.float64),
    lambda: step(values=P + 1),
    lambda: step(mean=P - 1),
    lambda: step(decaying=P + 1),
    lambda: step(dtype=torch.float64),
    lambda: multiply(depth=P - 1),
    lambda: multiply(rows=N - 1),
    lambda: multiply(bias=K - 1),
    lambda: scatter(factor=N - 1),
    lambda: scatter(columns=P - 1),
    lambda: products.add_column_sums(torch.zeros(N, P), torch.zeros(P - 1)),
    lambda: products.add_column_sums(torch.zeros(P, N).T, torch.zeros(P)),
    lambda: count_ngrams([0, 4, 10]),
    lambda: count_ngrams([-1, 9]),
    lambda: count_ngrams([0, 9], np.int32),
]


@pytest.mark.parametrize("call", FITTING)
def test_what_fits_is_taken(call: Callable[[], object]) -> None:
    call()


@pytest.mark.parametrize("call", UNFIT)
def test_what_does_not_fit_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ShapeError):
        call()
