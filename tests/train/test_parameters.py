import copy

import pytest
import torch
from torch import Tensor, nn

from crossent.monitoring.measure import gradient_lengths
from crossent.train.parameters import DECAY, YOUNG_STEPS, FlatParameters, ParameterAverage


def start() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
    for parameter in network.parameters():
        parameter.detach().uniform_(-0.5, 0.5, generator=generator)
    return network


def descend(network: nn.Module) -> Tensor:
    """Add up the gradient of some rows, and return their logits."""
    rows = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    logits = network(rows)
    nn.functional.cross_entropy(logits, torch.arange(20) % 3).backward()  # type: ignore[no-untyped-call]
    assert isinstance(logits, Tensor)
    return logits


def test_the_network_computes_what_it_did_and_its_gradient_is_the_same() -> None:
    apart, network = start(), start()
    parameters = FlatParameters(network)
    assert torch.equal(descend(network), descend(apart))
    weights = [one.grad for name, one in apart.named_parameters() if name.endswith("weight")]
    others = [one.grad for name, one in apart.named_parameters() if name.endswith("bias")]
    flat = torch.cat([one.flatten() for one in (*weights, *others) if one is not None])
    torch.testing.assert_close(parameters.gradient, flat)
    assert parameters.decaying == sum(one.numel() for one in weights if one is not None)


def test_gradients_of_two_passes_add_up() -> None:
    parameters = FlatParameters(start())
    descend(parameters.network)
    once = parameters.gradient.clone()
    descend(parameters.network)
    torch.testing.assert_close(parameters.gradient, 2 * once)


# The length is about 0.6.
@pytest.mark.parametrize("longest", [1e-3, 0.5, 1.0])
def test_lengths_and_shortening_are_those_of_torch(longest: float) -> None:
    apart, network = start(), start()
    parameters = FlatParameters(network)
    descend(apart)
    descend(network)
    lengths = gradient_lengths(list(apart.parameters()), [one for one in apart.parameters() if one.ndim > 1])
    torch.testing.assert_close(parameters.gradient_lengths(), lengths)
    parameters.shorten_gradient(parameters.gradient_lengths()[0], longest)
    nn.utils.clip_grad_norm_(apart.parameters(), longest)
    for mine, theirs in zip(network.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_the_ends_are_those_of_the_layers_and_what_has_no_size_is_no_end() -> None:
    embedding, layers = nn.Embedding(5, 4), nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    layers.append(nn.ParameterDict({"weight": torch.empty(0, 3)}))
    parameters = FlatParameters(nn.ModuleList([embedding, layers]), layers)
    parameters.gradient.fill_(1.0)
    layers[0].weight.grad.mul_(3)
    layers[1].weight.grad.mul_(5)
    assert parameters.gradient_lengths()[1:].tolist() == pytest.approx([3, 5])


def test_what_does_not_learn_stays_where_it_is() -> None:
    network = start()
    for parameter in network[0].parameters():
        parameter.requires_grad_(False)
    before = copy.deepcopy(network[0].state_dict())
    parameters = FlatParameters(network)
    assert len(parameters.values) == sum(one.numel() for one in (*network[1].parameters(), *network[3].parameters()))
    parameters.values.zero_()
    for name, value in network[0].state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("network", "decaying"), [(nn.Linear(3, 2, bias=False), 6), (nn.ParameterList([torch.ones(2)]), 0)]
)
def test_a_network_may_have_weights_or_others_alone(network: nn.Module, decaying: int) -> None:
    parameters = FlatParameters(network)
    parameters.gradient.fill_(1.0)
    assert parameters.decaying == decaying
    # The only parameter is the first and the last.
    assert parameters.gradient_lengths().tolist() == pytest.approx([len(parameters.values) ** 0.5, 1, 1])


def test_refuses_a_network_that_does_not_learn() -> None:
    with pytest.raises(ValueError, match="cannot be trained"):
        FlatParameters(nn.ReLU())


def test_average_is_the_recurrence_written_out() -> None:
    parameters = torch.tensor([2.0])
    average = ParameterAverage(parameters)
    expected = 2.0
    for step in range(1, 2000):
        parameters.fill_(float(step % 7))
        average.update(step)
        decay = min(DECAY, step / (step + YOUNG_STEPS))
        expected = decay * expected + (1 - decay) * (step % 7)
    assert average.values.item() == pytest.approx(expected, rel=1e-4)


def test_average_takes_the_place_of_the_parameters_and_gives_it_back_even_after_an_error() -> None:
    parameters = torch.tensor([1.0])
    average = ParameterAverage(parameters)
    parameters.fill_(5.0)
    with pytest.raises(ZeroDivisionError):
        fail_with_the_average_in_place(parameters, average)
    assert parameters.item() == 5.0


def fail_with_the_average_in_place(parameters: Tensor, average: ParameterAverage) -> None:
    with average.in_place():
        assert parameters.item() == 1.0
        raise ZeroDivisionError
