"""Small batches, which take a short way to the kernel, against the long way."""

import math

import pytest
import torch
from torch.nn import functional

import crossent as ce
from crossent.errors import ShapeError
from crossent.kernels import info
from crossent.losses.native import SMALL_CALL
from crossent.losses.small import is_small

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")


def draw(n: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    logits = 3 * torch.randn(n, num_classes, generator=generator)
    return logits, torch.randint(0, num_classes, (n,), generator=generator)


def by_the_long_way(logits: torch.Tensor, target: torch.Tensor, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = logits.double().requires_grad_()
    loss = functional.cross_entropy(leaf, target, **options)
    loss.backward()
    assert leaf.grad is not None
    return loss.detach().float(), leaf.grad.float()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (64, 10), (17, 3), (100, 163), (2, 8192), (16384, 1)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_value_and_gradient(shape: tuple[int, int], reduction: str) -> None:
    logits, target = draw(*shape)
    assert is_small(logits, target)
    leaf = logits.requires_grad_()
    loss = ce.cross_entropy(leaf, target, reduction=reduction)
    loss.backward()
    expected, gradient = by_the_long_way(logits.detach(), target, reduction=reduction)
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-6, atol=1e-30)
    torch.testing.assert_close(leaf.grad, gradient, rtol=1e-5, atol=1e-7 / shape[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda z, y: (z.double(), y),
        lambda z, y: (z, y.int()),
        lambda z, y: (z.t().contiguous().t(), y),
        lambda z, y: (z, y.repeat_interleave(2)[::2]),
        lambda z, y: (torch._neg_view(-z), y),
        lambda z, y: (z.repeat(SMALL_CALL, 1), y.repeat(SMALL_CALL)),
    ],
)
def test_what_is_not_so_simple_goes_the_long_way_to_the_same_loss(change: object) -> None:
    logits, target = draw(64, 10)
    assert callable(change)
    other = change(logits, target)
    assert not is_small(*other)
    expected, _ = by_the_long_way(logits, target)
    torch.testing.assert_close(ce.cross_entropy(*other).float(), expected)


def test_ignored_rows_are_never_read() -> None:
    logits, target = draw(8, 5)
    logits[3], target[3] = math.nan, -1
    leaf = logits.requires_grad_()
    loss = ce.cross_entropy(leaf, target, ignore_index=-1)
    loss.backward()
    assert leaf.grad is not None
    keep = torch.arange(8) != 3
    expected, gradient = by_the_long_way(logits.detach()[keep], target[keep])
    torch.testing.assert_close(loss.detach(), expected)
    torch.testing.assert_close(leaf.grad[keep], gradient)
    assert not leaf.grad[3].any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_row_counts(reduction: str) -> None:
    leaf = torch.randn(3, 4, requires_grad=True)
    loss = ce.cross_entropy(leaf, torch.full((3,), -100), reduction=reduction)
    loss.backward()
    assert leaf.grad is not None
    assert not leaf.grad.any()
    assert loss.isnan() if reduction == "mean" else loss == 0


def test_bad_index_is_named() -> None:
    logits, target = draw(8, 5)
    target[6] = 5
    with pytest.raises(ShapeError, match=r"target\[6\] is 5"):
        ce.cross_entropy(logits, target)


def test_graph_may_be_walked_twice_and_scaled() -> None:
    logits, target = draw(8, 5)
    leaf = logits.requires_grad_()
    loss = 3 * ce.cross_entropy(leaf, target)
    (first,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    (second,) = torch.autograd.grad(loss, leaf)
    _, gradient = by_the_long_way(logits.detach(), target)
    torch.testing.assert_close(first, 3 * gradient)
    assert torch.equal(first, second)


def test_second_derivative_is_the_softmax_covariance() -> None:
    logits, target = draw(1, 4)
    hessian = torch.autograd.functional.hessian(lambda z: ce.cross_entropy(z, target), logits)[0, :, 0]
    probs = logits.double().softmax(1)[0]
    torch.testing.assert_close(hessian.double(), probs.diag() - probs.outer(probs), rtol=1e-5, atol=1e-7)
