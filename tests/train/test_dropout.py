import pytest
import torch

from crossent.train.dropout import DropoutDraws, drop


def draw(rows: int, layers: int, width: int, seed: int = 0) -> torch.Tensor:
    batch = (torch.zeros(rows, 1),), torch.zeros(rows, dtype=torch.int64)
    (_, draws), _ = DropoutDraws(layers, width, torch.Generator().manual_seed(seed))(batch)
    return draws


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_leaves_out_its_share_and_keeps_the_mean(share: float) -> None:
    dropped = drop(torch.ones(2, 400, 256), draw(400, 2, 256), share)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])
    assert float((dropped == 0).double().mean()) == pytest.approx(share, abs=0.005)
    # No unit, row or head is left out more than chance leaves it out: five standard errors.
    for dims in ((0, 1), (1, 2)):
        left_out = (dropped == 0).double().mean(dim=dims)
        rows = dropped.numel() / left_out.numel()
        assert float((left_out - share).abs().max()) < 5 * (share * (1 - share) / rows) ** 0.5


def test_a_share_of_nothing_leaves_out_nothing() -> None:
    values = torch.randn(1, 50, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drop(values, draw(50, 1, 8), 0.0), values)


# Four draws are one number: 5 and 6 units need two of them.
@pytest.mark.parametrize("width", [1, 4, 5, 6, 256])
def test_rows_leave_out_the_same_units_however_they_are_cut(width: int) -> None:
    values, draws = torch.ones(3, 17, width), draw(17, 3, width)
    whole = drop(values, draws, 0.3)
    parts = [drop(values[:, part], draws[part], 0.3) for part in (slice(0, 5), slice(5, 6), slice(6, 17))]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    backwards = torch.arange(16, -1, -1)
    assert torch.equal(drop(values, draws[backwards], 0.3), whole[:, backwards])


def test_draws_come_from_the_generator_alone_and_are_new_each_time() -> None:
    before = torch.random.get_rng_state()
    assert torch.equal(draw(9, 2, 8), draw(9, 2, 8))
    assert not torch.equal(draw(9, 2, 8), draw(9, 2, 8, seed=1))
    drawing, batch = DropoutDraws(2, 8, torch.Generator()), ((), torch.zeros(9))
    assert not torch.equal(drawing(batch)[0][0], drawing(batch)[0][0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_gradient_reaches_what_stays() -> None:
    values = torch.ones(1, 20, 8, requires_grad=True)
    dropped = drop(values, draw(20, 1, 8), 0.5)
    dropped.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())
