from pathlib import Path

import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from crossent.losses.cross_entropy import cross_entropy
from crossent.monitoring.records import ignore_epoch
from crossent.train.batches import Batches
from crossent.train.checkpoint import Checkpoint, TrainingInterruptedError
from crossent.train.loop import Stopping, fit_network
from crossent.train.mixup import Mixup
from crossent.train.optim import AdamW, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import one_process
from crossent.train.training import Training
from tests.train.linear_network import draw, start

N = 4000


def mix(
    alpha: float, *inputs: Tensor, target: Tensor | None = None, seed: int = 0
) -> tuple[tuple[Tensor, ...], Tensor]:
    target = torch.arange(len(inputs[0])) if target is None else target
    return Mixup(alpha, len(inputs[0]), torch.Generator().manual_seed(seed))((inputs, target))


def test_numbers_and_targets_are_mixed_alike() -> None:
    """Each row is a class of its own, so that its target says which two rows it is of, and by how much."""
    numbers = torch.randn(300, 5, generator=torch.Generator().manual_seed(1))
    images = torch.randn(300, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    mixed, target = mix(0.4, numbers, images)
    torch.testing.assert_close(target.sum(-1), torch.ones(300))
    assert int((target > 0).sum(-1).max()) == 2
    torch.testing.assert_close(mixed[0], target @ numbers)
    torch.testing.assert_close(mixed[1].flatten(1), target @ images.flatten(1))


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    _, target = mix(alpha, torch.zeros(N, 1))
    share = target.diagonal().double().numpy()
    for bound in (0.01, 0.1, 0.3, 0.5, 0.9):
        expected = scipy.stats.beta(alpha, alpha).cdf(bound)
        assert (share < bound).mean() == pytest.approx(expected, abs=4 * (0.25 / N) ** 0.5)


def test_each_cell_of_a_code_is_of_one_of_the_rows_and_of_the_own_as_often_as_is_its_share() -> None:
    codes = torch.arange(2000)[:, None].expand(2000, 50)
    (mixed,), target = mix(1.0, codes)
    own = mixed == codes
    share = target.diagonal()
    partner = (target - target.diagonal().diag()).argmax(-1)
    apart = share < 1
    assert bool((own | (mixed == partner[:, None]))[apart].all())
    assert mixed.dtype == torch.int64
    excess = own.float().mean(-1)[apart] - share[apart]
    # Of 50 cells, each a coin of its own: standard deviations of the mean of all.
    deviation = float((share * (1 - share) / 50).mean() ** 0.5)
    assert abs(float(excess.mean())) < 4 * deviation / 2000**0.5
    assert float(excess.std()) == pytest.approx(deviation, rel=0.1)


def test_distributions_are_mixed_as_indices_are() -> None:
    values = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))
    target = torch.arange(40) % 3
    by_index = Mixup(0.4, 3, torch.Generator().manual_seed(5))(((values,), target))
    by_share = Mixup(0.4, 3, torch.Generator().manual_seed(5))(((values,), torch.eye(3)[target]))
    assert torch.equal(by_index[1], by_share[1])
    assert torch.equal(by_index[0][0], by_share[0][0])


def test_leaves_the_batch_as_it_is_and_draws_from_its_own_generator() -> None:
    values, state = torch.ones(30, 2).cumsum(0), torch.random.get_rng_state()
    before = values.clone()
    first, again, other = mix(0.4, values), mix(0.4, values), mix(0.4, values, seed=1)
    assert torch.equal(values, before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


class Interruption:
    """Asks to interrupt after a number of steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def __call__(self) -> bool:
        self._left -= 1
        return self._left == 0


def train(checkpoint: Checkpoint | None, network: nn.Module) -> None:
    features, target = draw()
    codes = (features[:, :1] > 0).long()
    mixing = torch.Generator().manual_seed(1)
    batches = Batches((features, codes), target, 64, torch.Generator().manual_seed(0), (Mixup(0.4, 3, mixing),))
    parameters = FlatParameters(network)
    training = Training(
        parameters,
        batches,
        loss=cross_entropy,
        optimizer=AdamW(parameters, weight_decay=0.0),
        schedule=warm_up_and_cosine(0.05, 4 * len(batches)),
        generators=(mixing,),
        accumulation=1,
        processes=one_process(),
    )
    if checkpoint is not None and (kept := checkpoint.load()) is not None:
        training.restore(kept)
    fit_network(training, None, stopping=Stopping(4, 4), on_epoch=ignore_epoch, name="mixed", checkpoint=checkpoint)


class OfNumbersAndCodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = start()

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        logits = self.linear(numbers + codes)
        assert isinstance(logits, Tensor)
        return logits


@pytest.mark.parametrize("steps", [1, 5, 7, 8, 13])
def test_an_interrupted_training_goes_on_to_the_bit(steps: int, tmp_path: Path) -> None:
    straight, resumed = OfNumbersAndCodes(), OfNumbersAndCodes()
    train(None, straight)
    with pytest.raises(TrainingInterruptedError):
        train(Checkpoint(tmp_path, Interruption(steps)), OfNumbersAndCodes())
    train(Checkpoint(tmp_path, lambda: False), resumed)
    assert torch.equal(straight.linear.weight, resumed.linear.weight)
    assert bool(straight.linear.weight.any())
