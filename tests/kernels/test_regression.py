"""The kernels of softmax regression against torch's derivatives in float64."""

import numpy as np
import pytest
import scipy.sparse
import torch
from torch.nn import functional

from crossent.kernels import info
from crossent.kernels.regression import (
    FeatureRows,
    RowTargets,
    SparseRows,
    add_gradient,
    add_product,
    couplings,
    padded_classes,
)

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

# (n, d, K): a vector of classes and more, odd features, more rows than a block holds, rows wider than one, features in
# the lanes.
SHAPES = [(1, 1, 2), (7, 3, 3), (700, 5, 16), (50, 33, 17), (13, 20, 70), (3, 9000, 4), (1000, 1, 40), (101, 341, 11)]


def draw(n: int, d: int, num_classes: int, density: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n + d)
    features = rng.normal(size=(n, d)) * (rng.random((n, d)) < density)
    theta, direction = rng.normal(size=(2, d + 1, num_classes)) / np.sqrt(d)
    return features, theta, direction, rng.integers(0, num_classes, n)


def padded(values: np.ndarray, dtype: type) -> np.ndarray:
    wide = np.zeros((len(values), padded_classes(values.shape[1])), dtype)
    wide[:, : values.shape[1]] = values
    return wide


def exact(
    features: np.ndarray, theta: np.ndarray, direction: np.ndarray, target: np.ndarray, weight: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    x, y, w = torch.from_numpy(features), torch.from_numpy(target), torch.from_numpy(weight)

    def loss(t: torch.Tensor) -> torch.Tensor:
        return (w * functional.cross_entropy(x @ t[:-1] + t[-1], y, reduction="none")).sum()

    start = torch.from_numpy(theta).requires_grad_()
    value = loss(start)
    (gradient,) = torch.autograd.grad(value, start, create_graph=True)
    (product,) = torch.autograd.grad(gradient, start, torch.from_numpy(direction))
    return value.item(), gradient.detach().numpy(), product.numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sparse", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["index", "weighted", "soft"])
def test_derivatives(shape: tuple[int, int, int], sparse: float, dtype: type, kind: str) -> None:
    n, d, num_classes = shape
    features, theta, direction, index = draw(*shape, density=0.3 if sparse else 1.0)
    weight = np.arange(n) % 3 + 0.5 if kind == "weighted" else np.ones(n)
    target = np.random.default_rng(1).dirichlet(np.ones(num_classes), n) if kind == "soft" else index
    loss, gradient, product = exact(features, theta, direction, target, weight)

    dense = features[:, : d - round(sparse * d)].astype(dtype)
    # The sparse part names features by their place among all.
    csr = scipy.sparse.csr_array(np.where(np.arange(d) < dense.shape[1], 0, features).astype(dtype))
    elements = SparseRows(csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data)
    rows = FeatureRows(dense, elements if sparse else None, d)
    targets = RowTargets(
        None if kind == "soft" else target,
        target.astype(dtype) if kind == "soft" else None,
        weight.astype(dtype) if kind == "weighted" else None,
    )
    probs, sums = (
        np.empty((n, num_classes), dtype),
        np.zeros((d + 1, padded_classes(num_classes)), dtype),
    )
    tolerance = {"rtol": 1e-11, "atol": 1e-11} if dtype == np.float64 else {"rtol": 2e-5, "atol": 1e-4}
    # In two calls, because the kernel adds to the sums.
    half = n // 2
    found = 0.0
    for part in (slice(0, half), slice(half, n)):
        found += add_gradient(rows.take(part), targets.take(part), num_classes, padded(theta, dtype), probs[part], sums)
    assert found == pytest.approx(loss, rel=1e-11 if dtype == np.float64 else 1e-5)
    np.testing.assert_allclose(sums[:, :num_classes], gradient, **tolerance)
    sums[:] = 0
    add_product(rows, targets, num_classes, probs, padded(direction, dtype), sums)
    np.testing.assert_allclose(sums[:, :num_classes], product, **tolerance)
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-5)


def test_no_rows_and_empty_rows() -> None:
    elements = SparseRows(np.zeros(4, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    rows = FeatureRows(np.empty((3, 0), np.float32), elements, 5)
    targets = RowTargets(np.array([0, 1, 2]), None, None)
    probs, sums = np.empty((3, 3), np.float32), np.zeros((6, 16), np.float32)
    loss = add_gradient(rows, targets, 3, np.zeros((6, 16), np.float32), probs, sums)
    assert loss == pytest.approx(3 * np.log(3))
    assert not sums[:5].any()
    nothing = slice(0, 0)
    assert add_gradient(rows.take(nothing), targets.take(nothing), 3, sums, probs[nothing], sums) == 0


# More rows, pairs of classes and pairs of features than are taken at once, and fewer than a vector.
@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 3, 3), (300, 17, 26), (130, 60, 5), (5, 600, 2), (129, 2, 60)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_couplings(shape: tuple[int, int, int], dtype: type) -> None:
    n, d, num_classes = shape
    rng = np.random.default_rng(n)
    features, weight = rng.normal(size=(n, d)).astype(dtype), rng.random(n).astype(dtype)
    probs = rng.dirichlet(np.ones(num_classes), n).astype(dtype)
    wide = probs.astype(np.float64)
    curvature = np.einsum("nk,kl->nkl", wide, np.eye(num_classes)) - np.einsum("nk,nl->nkl", wide, wide)
    moments = features[:, :, None].astype(np.float64) * features[:, None, :]
    first, second = np.triu_indices(num_classes)
    left, right = np.triu_indices(d)
    wanted = (curvature[:, first, second] * weight[:, None]).T @ moments[:, left, right]
    rounding = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(couplings(features, probs, weight), wanted, atol=rounding * np.abs(wanted).max())
