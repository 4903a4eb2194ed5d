import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from crossent.kernels import info
from crossent.models.number_embedding import FARTHEST, NumberEmbedding

native = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

# (n, p, b, s): one of each; sizes that are no whole vectors, and the usual one; more rows than a block of the kernel.
SHAPES = [(1, 1, 1, 1), (7, 3, 4, 5), (64, 2, 32, 16), (301, 5, 32, 16), (65, 3, 7, 17), (0, 2, 3, 4), (5, 0, 3, 4)]


def start(n: int, p: int, pieces: int, size: int) -> tuple[NumberEmbedding, Tensor]:
    """An embedding with knots, and numbers: below, between, above and just on them."""
    generator = torch.Generator().manual_seed(n + p)
    line, bias = torch.randn(p, 1, size, generator=generator), torch.randn(p, 1, size, generator=generator)
    embedding = NumberEmbedding(line, bias, pieces)
    embedding.weight.detach().normal_(generator=generator)
    knots = torch.randn(200, p, generator=generator)
    embedding.place_knots(knots.numpy())
    numbers = 3 * torch.randn(n, p, generator=generator)
    numbers[::3] = knots[: len(numbers[::3])]
    return embedding, numbers


@native
@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_is_the_formula_in_float64_and_so_are_its_gradients(shape: tuple[int, int, int, int]) -> None:
    embedding, numbers = start(*shape)
    # The kernel computes in float32 alone, so that this is plain torch.
    exact = copy.deepcopy(embedding).double()
    upstream = torch.randn(shape[0], shape[1] * shape[3], generator=torch.Generator().manual_seed(1))
    found, expected = embedding(numbers), exact(numbers.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=2e-5)
    found.backward(upstream)
    expected.backward(upstream.double())
    for mine, theirs in zip(embedding.parameters(), exact.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1e-5, atol=1e-5 * max(1, shape[0]) ** 0.5)


@native
def test_kernel_gives_the_same_bits_by_any_number_of_threads() -> None:
    embedding, numbers = start(301, 5, 32, 16)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            embedding.zero_grad()
            embedded = embedding(numbers)
            embedded.square().sum().backward()
            gradients = [one.grad for one in embedding.parameters() if one.grad is not None]
            found.append([embedded.detach(), *gradients])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_numbers_of_any_strides_are_read_where_they_lie() -> None:
    embedding, numbers = start(30, 4, 8, 16)
    spread = torch.stack([numbers, numbers + 1], dim=2).transpose(0, 1).contiguous().transpose(0, 1)[..., 0]
    assert not spread.is_contiguous()
    assert torch.equal(embedding(spread), embedding(numbers))


def test_is_bent_as_the_formula_says_where_there_are_no_pieces() -> None:
    embedding = NumberEmbedding(torch.ones(1, 1, 1), torch.zeros(1, 1, 1), 4)
    embedding.place_knots(np.zeros((3, 1), np.float32))
    x = torch.tensor([[-1e6], [-2.0], [0.0], [1.0], [50.0]])
    torch.testing.assert_close(embedding(x).detach(), x / (1 + (x / FARTHEST) ** 2).sqrt())


def test_curves_pass_through_any_values_at_their_knots() -> None:
    embedding = NumberEmbedding(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 4)
    numbers = np.array([[0.0], [1.0], [4.0], [5.0], [9.0]], np.float32)
    embedding.place_knots(numbers)
    heights = torch.tensor([0.0, 3.0, -1.0, 2.0, 2.5])
    embedding.weight.detach()[0, :, 0] = heights.diff()
    torch.testing.assert_close(embedding(torch.from_numpy(numbers))[:, 0].detach(), heights)
    between = embedding(torch.tensor([[0.5], [2.5], [100.0]]))[:, 0].detach()
    torch.testing.assert_close(between, torch.tensor([1.5, 1.0, 2.5]))


def test_a_column_of_few_values_has_few_pieces() -> None:
    embedding = NumberEmbedding(torch.ones(2, 1, 8), torch.ones(2, 1, 8), 16)
    flag = np.repeat([0.0, 1.0], 50)
    embedding.place_knots(np.column_stack([flag, np.full(100, 7.0)]).astype(np.float32))
    assert (embedding.slope > 0).sum(dim=1).tolist() == [1, 0]
    assert torch.isfinite(embedding(torch.tensor([[1.0, 7.0]]))).all()
