"""The passes in NumPy against those of the kernels."""

import numpy as np
import pytest

from crossent.kernels import info
from crossent.kernels.regression import FeatureRows, RowTargets, add_gradient, add_product, couplings
from crossent.solver.plain import add_plain_gradient, add_plain_product, plain_couplings


@pytest.mark.skipif(not info().available, reason="there are no native kernels to compare with")
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_same_as_the_kernels(soft: bool, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    rows = FeatureRows(rng.normal(size=(50, 4)), None, 4)
    weight, direction = np.zeros((2, 5, 16))
    weight[:, :3], direction[:, :3] = rng.normal(size=(2, 5, 3))
    index, distribution = rng.integers(0, 3, 50), rng.dirichlet(np.ones(3), 50)
    of_rows = rng.random(50) if weighted else None
    targets = RowTargets(None if soft else index, distribution if soft else None, of_rows)
    found = []
    for gradient, product in ((add_gradient, add_product), (add_plain_gradient, add_plain_product)):
        probs, sums, products = np.zeros((50, 3)), np.zeros((5, 16)), np.zeros((5, 16))
        loss = gradient(rows, targets, 3, weight, probs, sums)
        product(rows, targets, 3, probs, direction, products)
        found.append((loss, probs, sums, products))
    for ours, plain in zip(*found, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-11, atol=1e-13)


@pytest.mark.skipif(not info().available, reason="there are no native kernels to compare with")
def test_same_couplings_as_the_kernels() -> None:
    rng = np.random.default_rng(0)
    features, probs, weight = rng.normal(size=(40, 5)), rng.dirichlet(np.ones(4), 40), rng.random(40)
    np.testing.assert_allclose(plain_couplings(features, probs, weight), couplings(features, probs, weight), atol=1e-12)
