"""Losses of a linear layer in tiles, against float64 and against tiles of another size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossent.kernels import info, products, rows
from crossent.kernels.linear import Layer
from crossent.kernels.problem import RowTerms
from crossent.losses import linear_tiles
from crossent.losses.linear_tiles import RowSum, Wanted, losses_in_tiles, tile_size

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

EVERY = Wanted(input=True, weight=True, bias=True)


def draw(n: int, d: int, classes: int, dtype: torch.dtype = torch.float32) -> tuple[Layer, RowSum, torch.Tensor]:
    """A layer, weighted rows of which some do not count, and weights of their losses."""
    generator = torch.Generator().manual_seed(0)
    inputs, weight, bias = (torch.randn(shape, generator=generator) for shape in ((n, d), (classes, d), (classes,)))
    sample_weight = torch.rand(n, generator=generator)
    sample_weight[::5] = 0
    terms = RowTerms(
        target=torch.randint(classes, (n,), generator=generator), sample_weight=sample_weight, label_smoothing=0.1
    )
    layer = Layer(*(tensor.to(dtype) for tensor in (inputs, weight, bias)))
    return layer, RowSum(terms, sample_weight != 0, 3.0), torch.rand(n, generator=generator)


# Few classes go through one kernel; more through tiles of some of the classes where these fill the memory allowed.
@pytest.mark.parametrize("classes", [5, 40, 5000])
@pytest.mark.parametrize("scratch", [1 << 16, 32 << 20])
@pytest.mark.parametrize("every_row", [True, False])
def test_losses_and_derivatives_are_those_of_float64(
    classes: int, scratch: int, every_row: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_tiles, "SCRATCH_BYTES", scratch)
    layer, row_sum, grad_rows = draw(300, 6, classes)
    if every_row:
        row_sum = RowSum(row_sum.terms, torch.ones(300, dtype=torch.bool), row_sum.normalizer)
    losses, gradient = losses_in_tiles(layer, row_sum, grad_rows, EVERY)
    exact = [tensor.double().requires_grad_() for tensor in (layer.input, layer.weight, layer.bias)]
    terms = row_sum.terms
    expected = terms.sample_weight.double() * torch.nn.functional.cross_entropy(
        torch.nn.functional.linear(*exact), terms.target, reduction="none", label_smoothing=0.1
    )
    torch.testing.assert_close(losses.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    slopes = torch.autograd.grad((grad_rows.double() * expected).sum() / row_sum.normalizer, exact)
    for derivative, slope in zip((gradient.input, gradient.weight, gradient.bias), slopes, strict=True):
        torch.testing.assert_close(derivative.double(), slope, rtol=1e-4, atol=1e-5)


def test_tiles_of_another_size_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, row_sum, _ = draw(1500, 4, 5000)
    results = []
    for scratch in (1 << 22, 32 << 20):
        monkeypatch.setattr(linear_tiles, "SCRATCH_BYTES", scratch)
        losses, gradient = losses_in_tiles(layer, row_sum, None, EVERY)
        results.append([losses, gradient.input, gradient.weight, gradient.bias])
    assert all(torch.equal(small, large) for small, large in zip(*results, strict=True))


def test_only_what_is_wanted_is_there() -> None:
    layer, row_sum, _ = draw(50, 3, 40)
    for name in ("input", "weight", "bias"):
        _, gradient = losses_in_tiles(layer, row_sum, None, Wanted(**{name: True}))
        assert [other for other in ("input", "weight", "bias") if getattr(gradient, other) is not None] == [name]


@given(n=st.integers(1, 100_000), d=st.integers(0, 5000), classes=st.integers(2, 300_000), half=st.booleans())
def test_tiles_are_whole_blocks_and_fit_into_the_memory_allowed_or_are_as_narrow_as_can_be(
    n: int, d: int, classes: int, half: bool
) -> None:
    dtype = torch.bfloat16 if half else torch.float32
    # Tensors of these shapes that take no memory.
    layer = Layer(torch.empty(1, dtype=dtype).expand(n, d), torch.empty(1, dtype=dtype).expand(classes, d), None)
    size = tile_size(layer)
    assert size.rows % products.SUM_BLOCK == 0
    assert 0 < size.rows <= linear_tiles.MOST_ROWS
    assert size.classes == classes or size.classes % rows.CLASS_BLOCK == 0
    fits = size.rows * size.classes * 4 <= linear_tiles.SCRATCH_BYTES
    assert fits or size.classes == rows.CLASS_BLOCK
