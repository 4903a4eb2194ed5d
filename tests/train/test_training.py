import pytest
import torch
from torch import nn

from crossent.losses.cross_entropy import cross_entropy
from crossent.train.batches import Batches
from crossent.train.optim import AdamW, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import one_process
from crossent.train.training import LEAST_DIVIDED, Training
from tests.train.together import train_by_steps


def start(accumulation: int = 1, size: int = 17) -> Training:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(50, 4, generator=generator)
    target = torch.randint(3, (50,), generator=generator)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    for parameter in network.parameters():
        parameter.detach().uniform_(-0.5, 0.5, generator=generator)
    parameters = FlatParameters(network)
    return Training(
        parameters,
        Batches((features,), target, size, torch.Generator().manual_seed(1)),
        loss=cross_entropy,
        optimizer=AdamW(parameters, weight_decay=0.1),
        schedule=warm_up_and_cosine(0.02, 30),
        generators=(),
        accumulation=accumulation,
        processes=one_process(),
    )


def go(training: Training, epochs: int) -> Training:
    for _ in range(epochs):
        for batch in training.batches_left():
            training.step(batch)
        training.end_epoch(None)
    return training


# 17 rows do not part evenly into 2 or 3, and 40 is more parts than rows.
@pytest.mark.parametrize("accumulation", [2, 3, 40])
def test_a_batch_in_parts_steps_as_a_whole_one_does(accumulation: int) -> None:
    whole, parts = start(), start(accumulation)
    for training in (whole, parts):
        for batch in training.batches_left():
            training.step(batch)
    one, other = whole.measured(), parts.measured()
    assert other.loss == pytest.approx(one.loss, rel=1e-6)
    assert other.accuracy == pytest.approx(one.accuracy, rel=1e-6)
    assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-5)
    for mine, theirs in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_dropout_does_not_depend_on_the_parts_of_a_batch() -> None:
    whole, *parts = (train_by_steps(one_process(), size=33, accumulation=count).losses for count in (1, 2, 5))
    for losses in parts:
        assert losses == pytest.approx(whole, abs=1e-5)


def test_a_large_batch_in_two_halves_steps_as_a_whole_one_does() -> None:
    """Against a step written out, on a batch of which each process of two would have one half."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(LEAST_DIVIDED + 1, 4, generator=generator)
    target = torch.randint(3, (LEAST_DIVIDED + 1,), generator=generator)
    training, reference = start(size=LEAST_DIVIDED), start().network
    loss = nn.functional.cross_entropy(reference(features), target)
    loss.backward()  # type: ignore[no-untyped-call]
    seen: list[int] = []
    training.network.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    training.step(((features,), target))
    assert seen == [LEAST_DIVIDED // 2 + 1, LEAST_DIVIDED // 2]
    gradients = [parameter.grad for parameter in reference.parameters() if parameter.grad is not None]
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert training.measured().first_gradient_norm == pytest.approx(float(length), rel=1e-5)
    assert training.measured().loss * 50 / (LEAST_DIVIDED + 1) == pytest.approx(float(loss.detach()), rel=1e-5)


def test_measures_the_gradient_before_it_is_cut() -> None:
    training = start()
    reference = start().network
    inputs, target = next(start().batches_left())
    nn.functional.cross_entropy(reference(*inputs), target).backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in reference.parameters() if parameter.grad is not None]
    training.step((inputs, target))
    measured = training.measured()
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert measured.gradient_norm == measured.first_gradient_norm == pytest.approx(float(length), rel=1e-5)
    ratio = gradients[0].square().mean().sqrt() / gradients[2].square().mean().sqrt()
    assert measured.gradient_ratio == pytest.approx(float(ratio), rel=1e-5)


def test_a_restored_training_goes_on_to_the_bit_whatever_it_was_before() -> None:
    straight = go(start(), 5)
    half = go(start(), 2)
    half.step(next(half.batches_left()))
    kept = half.state()
    kept_tensors = {name: value.clone() for name, value in kept.tensors.items()}
    other = go(start(), 4)
    other.restore(type(kept)(kept.step, kept_tensors, kept.best_epoch, kept.best, kept.numbers))
    assert (other.epoch, other.batch, kept.step) == (3, 1, 7)
    go(other, 3)
    for name, value in straight.state().tensors.items():
        assert torch.equal(value, other.state().tensors[name]), name


def test_keeps_the_best_epoch_and_counts_those_without_a_gain() -> None:
    training = start()
    kept = []
    for score in (0.9, 0.5, 0.7, float("inf"), float("nan")):
        for batch in training.batches_left():
            training.step(batch)
        training.end_epoch(score)
        kept.append((training.best_epoch, training.epochs_without_gain))
    assert kept == [(1, 0), (2, 0), (2, 1), (2, 2), (2, 3)]
