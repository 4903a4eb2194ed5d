"""Matrix products against float64, in every layout and dtype, and cut into pieces."""

import pytest
import torch

from crossent.kernels import info, products

pytestmark = pytest.mark.skipif(not info().available, reason="there are no native kernels here")

# (m, k, n): less than a panel, just a panel and one more, several tiles, nothing to sum, one column.
SHAPES = [(1, 1, 1), (3, 200, 5), (14, 128, 32), (15, 129, 33), (300, 130, 400), (1100, 3, 40), (7, 0, 9), (50, 513, 1)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def draw(rows: int, columns: int, dtype: torch.dtype, *, turned: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows + 1000 * columns)
    drawn = torch.randn((columns, rows) if turned else (rows, columns), generator=generator).to(dtype)
    return drawn.t() if turned else drawn


def real_of(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("left_turned", [False, True])
@pytest.mark.parametrize("right_turned", [False, True])
def test_equals_float64(shape: tuple[int, int, int], dtype: torch.dtype, left_turned: bool, right_turned: bool) -> None:
    (m, k, n), real = shape, real_of(dtype)
    left, right = draw(m, k, dtype, turned=left_turned), draw(k, n, dtype, turned=right_turned)
    bias, room = torch.linspace(-1, 1, n, dtype=real), torch.full((m, n + 3), float("nan"), dtype=real)
    exact, size = left.double() @ right.double(), left.double().abs() @ right.double().abs()
    bound = 4 * torch.finfo(real).eps * (size + 2)
    products.multiply(left, right, room[:, :n], bias=bias)
    assert ((room[:, :n] - exact - bias).abs() <= bound).all()
    assert room[:, n:].isnan().all()
    products.add_product(left, right, room[:, :n])
    assert ((room[:, :n] - 2 * exact - bias).abs() <= 2 * bound).all()
    products.multiply(left, right, room[:, :n])
    assert ((room[:, :n] - exact).abs() <= bound).all()


def test_spread_operands_are_read_where_they_lie() -> None:
    left, right = torch.randn(40, 60)[::2, ::3], torch.randn(40, 90)[::2, ::3]
    found = torch.empty(20, 30)
    products.multiply(left, right, found)
    torch.testing.assert_close(found, left @ right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pieces_and_threads_change_no_bit(dtype: torch.dtype) -> None:
    left, right = draw(200, 700, dtype, turned=False), draw(700, 500, dtype, turned=False)
    whole, parts = torch.empty(200, 500, dtype=dtype), torch.zeros(200, 500, dtype=dtype)
    products.multiply(left, right, whole)
    for begin in range(0, 700, 2 * products.SUM_BLOCK):
        piece = slice(begin, begin + 2 * products.SUM_BLOCK)
        for rows in (slice(0, 13), slice(13, 200)):
            for columns in (slice(0, 211), slice(211, 500)):
                products.add_product(left[rows, piece], right[piece, columns], parts[rows, columns])
    assert torch.equal(parts, whole)
    threads = torch.get_num_threads()
    try:
        for count in (1, 5):
            torch.set_num_threads(count)
            products.multiply(left, right, parts)
            assert torch.equal(parts, whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", [(1, 1), (130, 70), (1000, 3), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_column_sums(shape: tuple[int, int], dtype: torch.dtype) -> None:
    values, start = draw(*shape, dtype, turned=False), torch.linspace(-1, 1, shape[1], dtype=dtype)
    found, parts = start.clone(), start.clone()
    products.add_column_sums(values, found)
    bound = 4 * torch.finfo(dtype).eps * (values.double().abs().sum(0) + 1)
    assert ((found - values.double().sum(0) - start).abs() <= bound).all()
    for part in values.split(products.SUM_BLOCK):
        products.add_column_sums(part, parts)
    assert torch.equal(found, parts)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, 70, 300])
def test_scatter_adds_row_after_row(dtype: torch.dtype, columns: int) -> None:
    real, values = real_of(dtype), draw(50, columns, dtype, turned=False)
    factor, target = torch.linspace(-1, 1, 50, dtype=real), torch.arange(50) % 7
    factor[3], target[3], values[3] = 0, -100, float("nan")
    found = torch.ones(7, columns + 2, dtype=real)
    products.scatter(values, factor, target, found[:, :columns])
    exact = torch.ones(7, columns, dtype=torch.float64)
    kept = torch.arange(50) != 3
    exact.index_add_(0, target[kept], factor[kept, None].double() * values[kept].double())
    torch.testing.assert_close(found[:, :columns].double(), exact, rtol=0, atol=20 * torch.finfo(real).eps)
    assert (found[:, columns:] == 1).all()
