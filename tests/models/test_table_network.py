import math

import numpy as np
import pytest
import torch

from crossent.models.table_network import CategoryEmbedding, Sizes, TableNetwork

SIZES = Sizes(numbers=3, cardinalities=(4, 5), classes=6, heads=2, width=16, depth=2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(4, size=n), rng.integers(5, size=n)])
    return torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32)), torch.from_numpy(codes)


def test_is_the_function_written_out_row_by_row() -> None:
    network = TableNetwork(SIZES, 0.5, generator()).eval()
    network.numbers.weight.detach().normal_(generator=generator())
    numbers, codes = rows()
    network.numbers.place_knots(numbers.numpy())
    state = {name: value.double().numpy() for name, value in network.state_dict().items()}
    for row in range(10):
        embedded: list[float] = []
        for j in range(3):
            x = float(numbers[row, j])
            encoded = np.clip((x - state["numbers.left"][j]) * state["numbers.slope"][j], 0, 1)
            line = x / math.sqrt(1 + (x / 3) ** 2) * state["numbers.line"][j, 0]
            embedded += [*(encoded @ state["numbers.weight"][j] + line + state["numbers.bias"][j, 0])]
        embedded += [*state["categories.table"][int(codes[row, 0])], *state["categories.table"][4 + int(codes[row, 1])]]
        for head in range(2):
            hidden = np.array(embedded)
            for layer in range(3):
                hidden = state[f"layers.{layer}.weight"][head] @ hidden + state[f"layers.{layer}.bias"][head, 0]
                hidden = np.maximum(hidden, 0) if layer < 2 else hidden
            np.testing.assert_allclose(network(numbers, codes)[head, row].detach(), hidden, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("numbers", "cardinalities"), [(3, ()), (0, (4, 5)), (0, ())])
def test_takes_tables_without_numbers_or_categories(numbers: int, cardinalities: tuple[int, ...]) -> None:
    sizes = Sizes(numbers, cardinalities, classes=6, heads=2, width=8, depth=1)
    given, codes = rows()
    logits = TableNetwork(sizes, 0.0, generator())(given[:, :numbers], codes[:, : len(cardinalities)])
    assert logits.shape == (2, 10, 6)
    assert torch.isfinite(logits).all()


def test_parameters_come_from_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    networks = [TableNetwork(SIZES, 0.5, generator(seed)) for seed in (1, 1, 2)]
    outputs = [network(*rows()) for network in networks]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_leaves_out_units_of_each_row_head_and_layer_by_its_own_draws() -> None:
    network = TableNetwork(SIZES, 0.5, generator()).eval()
    numbers, codes = rows()
    keep = torch.full((10, 4, 16), 2**15 - 1, dtype=torch.int16)
    whole = network(numbers, codes, keep.view(torch.int64))
    # Two layers at a share of one half: of what stays, each value is doubled.
    doubled = TableNetwork(SIZES, 0.0, generator())
    for layer in doubled.layers[:2]:
        layer.weight.detach().mul_(2)
        layer.bias.detach().mul_(2)
    torch.testing.assert_close(whole, doubled(numbers, codes))
    for slot, head in ((0, 0), (1, 1), (2, 0), (3, 1)):
        without = keep.clone()
        without[4, slot] = -(2**15)
        changed = (network(numbers, codes, without.view(torch.int64)) != whole).any(dim=2)
        expected = torch.zeros(2, 10, dtype=torch.bool)
        expected[head, 4] = True
        assert torch.equal(changed, expected)


def test_heads_differ_from_the_start() -> None:
    first, second = TableNetwork(SIZES, 0.0, generator())(*rows())
    assert not torch.allclose(first, second, atol=0.01)


def test_far_numbers_give_finite_logits_that_hardly_move() -> None:
    network = TableNetwork(SIZES, 0.0, generator()).eval()
    network.numbers.place_knots(rows(100)[0].numpy())
    _, codes = rows(1)
    far, farther = (network(torch.full((1, 3), value), codes) for value in (1e4, 1e6))
    torch.testing.assert_close(far, farther, atol=1e-4, rtol=0)


def test_codes_of_no_row_are_zero_and_stay_so() -> None:
    embedding = CategoryEmbedding((4, 5), 3, generator())
    embedding.forget_unseen(np.array([[3, 0], [2, 4]], dtype=np.int32))
    seen = embedding.table.detach().abs().sum(dim=1) > 0
    assert seen.tolist() == [False, False, True, True, True, False, False, False, True]
