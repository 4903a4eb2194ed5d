"""Embeddings by curves of straight pieces, and their gradients, against their definition in float64."""

import dataclasses

import numpy as np
import pytest
import torch

from crossent.errors import ShapeError
from crossent.kernels import info
from crossent.kernels.curves import Curves, backward, forward

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

FARTHEST = 5.0


def draw(rows: int, numbers: int, pieces: int, size: int) -> tuple[torch.Tensor, Curves]:
    """Numbers inside and outside of the pieces, and on their edges; the last piece of the last number is not there."""
    rng = np.random.default_rng(0)
    edges = np.sort(rng.normal(size=(numbers, pieces + 1)), axis=1).astype(np.float32)
    left, slope = edges[:, :-1].copy(), 1 / np.diff(edges, axis=1)
    if pieces > 1:
        slope[-1, -1] = 0
    values = rng.normal(size=(rows, numbers)) * rng.choice([1, 100], size=(rows, 1))
    values[: rows // 4] = left[:, 0]
    weight, line, bias = (rng.normal(size=(numbers, count, size)) for count in (pieces, 1, 1))
    tensors = [torch.from_numpy(np.ascontiguousarray(array, np.float32)) for array in (left, slope, weight, line, bias)]
    return torch.from_numpy(values.astype(np.float32)), Curves(*tensors, FARTHEST)


def definition(values: torch.Tensor, curves: Curves) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The embeddings in float64; weight, line and bias, to derive by."""
    learned = [tensor.double().requires_grad_() for tensor in (curves.weight, curves.line, curves.bias)]
    weight, line, bias = learned
    number = values.double().T[..., None]
    filled = ((number - curves.left.double()[:, None]) * curves.slope.double()[:, None]).clamp(0, 1)
    bent = number / torch.sqrt(1 + (number / curves.farthest) ** 2)
    embedded = torch.einsum("pnb,pbs->nps", filled, weight) + (bent * line + bias).transpose(0, 1)
    return embedded.flatten(1), learned


@pytest.mark.parametrize(
    ("rows", "numbers", "pieces", "size"), [(0, 2, 3, 4), (1, 1, 1, 1), (9, 3, 1, 5), (700, 4, 24, 16), (33, 2, 48, 9)]
)
def test_embeddings_and_gradients_are_those_of_the_definition(rows: int, numbers: int, pieces: int, size: int) -> None:
    values, curves = draw(rows, numbers, pieces, size)
    expected, learned = definition(values, curves)
    np.testing.assert_allclose(forward(values, curves), expected.detach(), rtol=1e-5, atol=1e-5)
    slopes = torch.from_numpy(np.random.default_rng(1).normal(size=expected.shape).astype(np.float32))
    exact = torch.autograd.grad(expected, learned, slopes.double())
    for gradient, of_definition in zip(backward(values, curves, slopes), exact, strict=True):
        np.testing.assert_allclose(gradient, of_definition, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    values, curves = draw(6, 2, 3, 4)
    with pytest.raises(ShapeError, match="numbers"):
        forward(values[:, :1], curves)
    with pytest.raises(ShapeError, match="slope"):
        forward(values, dataclasses.replace(curves, slope=curves.slope[:, :2]))
    with pytest.raises(ShapeError, match="gradient of the embeddings"):
        backward(values, curves, torch.zeros(6, 7))
    with pytest.raises(ShapeError, match="piece"):
        forward(values, dataclasses.replace(curves, weight=curves.weight[:, :0]))
