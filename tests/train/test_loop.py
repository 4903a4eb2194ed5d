import itertools
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from crossent.logits import LabelledLogits
from crossent.losses.cross_entropy import cross_entropy
from crossent.monitoring.records import EpochRecord
from crossent.train.batches import Batches
from crossent.train.loop import StopBy, Stopping, fit_network
from crossent.train.optim import AdamW, Optimizer, Schedule, warm_up_and_cosine
from crossent.train.parameters import FlatParameters
from crossent.train.processes import one_process
from crossent.train.training import LONGEST_GRADIENT, Training
from tests.train.linear_network import draw, start
from tests.train.plain_descent import PlainDescent


class Watch:
    """Keeps the records, and ends training after some."""

    def __init__(self, most: int = 1000) -> None:
        self.records: list[EpochRecord] = []
        self._most = most

    def __call__(self, record: EpochRecord) -> bool:
        self.records.append(record)
        return len(self.records) >= self._most


def held_out(accuracy: float) -> LabelledLogits:
    """Rows that are all equally sure of themselves: the more of them are right, the lower is their refinement."""
    right = np.arange(20) < round(20 * accuracy)
    return LabelledLogits(np.tile(np.array([1.0, 0.0], np.float32), (20, 1)), np.where(right, 0, 1))


def begin(
    parameters: FlatParameters,
    batches: Batches,
    optimizer: Optimizer,
    schedule: Schedule,
) -> Training:
    return Training(
        parameters,
        batches,
        loss=cross_entropy,
        optimizer=optimizer,
        schedule=schedule,
        generators=(),
        accumulation=1,
        processes=one_process(),
    )


def train(
    network: nn.Module, accuracies: list[float] | None = None, *, epochs: int = 5, patience: int = 5, most: int = 1000
) -> list[EpochRecord]:
    """Train on drawn rows; in each epoch a given number of held-out rows is right."""
    features, target = draw()
    batches = Batches((features,), target, 64, torch.Generator().manual_seed(0))
    parameters = FlatParameters(network)
    optimizer = AdamW(parameters, weight_decay=0.0)
    training = begin(parameters, batches, optimizer, warm_up_and_cosine(0.05, epochs * len(batches)))
    watch = Watch(most)
    given = iter(accuracies or [])
    fit_network(
        training,
        None if accuracies is None else lambda: held_out(next(given)),
        stopping=Stopping(epochs, patience),
        on_epoch=watch,
        name="straight",
    )
    return watch.records


def test_comes_near_the_optimum_that_another_method_finds() -> None:
    network = start()
    train(network, epochs=200)
    features, target = draw()
    other = start()
    newton = torch.optim.LBFGS(other.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        newton.zero_grad()
        loss = nn.functional.cross_entropy(other(features), target)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    newton.step(closure)
    best = float(closure().detach())
    assert best <= float(cross_entropy(network(features), target).detach()) < best + 1e-3


def test_keeps_the_epoch_of_lowest_refinement() -> None:
    kept, until_then = start(), start()
    # The schedule is that of five epochs either way.
    train(kept, [0.6, 0.9, 0.7, 0.8, 0.85])
    train(until_then, [0.6, 0.9], most=2)
    assert torch.equal(kept.weight, until_then.weight)


# By number of the epoch: how many of 20 rows are right, and how sure those are and the others. In the first many are,
# far too surely, so that a temperature helps; in the second fewer, as surely as they should be; in the third all but
# one, which is surer than they are.
EPOCHS_OF_HELD_OUT = {1: (18, 20.0, 20.0), 2: (16, math.log(4), math.log(4)), 3: (19, 0.1, 100.0)}


@pytest.mark.parametrize(("by", "best"), [("refinement", 1), ("log-loss", 2), ("accuracy", 3)])
def test_the_best_epoch_is_told_by_what_is_asked_for(by: StopBy, best: int) -> None:
    training = prepare(start(), rows=64)

    def judge() -> LabelledLogits:
        right, surely_right, surely_wrong = EPOCHS_OF_HELD_OUT[training.epoch]
        is_right = np.arange(20) < right
        logits = np.zeros((20, 2), np.float32)
        logits[:, 0] = np.where(is_right, surely_right, surely_wrong)
        return LabelledLogits(logits, np.where(is_right, 0, 1))

    fit_network(training, judge, stopping=Stopping(3, 3, by), on_epoch=lambda _: False, name="judged")
    assert training.best_epoch == best


@pytest.mark.parametrize("by", ["refinement", "log-loss", "accuracy"])
def test_an_epoch_whose_logits_are_not_finite_is_never_the_best(by: StopBy) -> None:
    training = prepare(start(), rows=64)

    def judge() -> LabelledLogits:
        # The first of two classes is taken where there is none to choose, and is right.
        logits = held_out(0.5).logits * (1.0 if training.epoch == 1 else np.nan)
        return LabelledLogits(
            logits.astype(np.float32), np.repeat([0, 1], [15, 5]) if training.epoch > 1 else np.arange(20) % 2
        )

    fit_network(training, judge, stopping=Stopping(2, 2, by), on_epoch=lambda _: False, name="judged")
    assert training.best_epoch == 1


def prepare(network: nn.Module, rows: int) -> Training:
    features, target = draw()
    batches = Batches((features[:rows],), target[:rows], 16, torch.Generator().manual_seed(0))
    parameters = FlatParameters(network)
    return begin(parameters, batches, PlainDescent(parameters), lambda _: 0.1)


def test_rows_are_judged_without_what_is_for_training_alone() -> None:
    network = nn.Sequential(nn.Dropout(0.5), start())
    training, modes = prepare(network, rows=64), []
    network.register_forward_hook(lambda *_: modes.append(network.training))

    def judge() -> LabelledLogits:
        network(draw()[0])
        return held_out(0.5)

    fit_network(training, judge, stopping=Stopping(2, 2), on_epoch=lambda _: False, name="judged")
    assert modes == [*[True] * 4, False] * 2


def test_the_rows_of_an_epoch_that_goes_on_are_not_counted_twice() -> None:
    network = start()
    training, watch = prepare(network, rows=64), Watch()
    for batch in itertools.islice(training.batches_left(), 3):
        training.step(batch)
    training.network.register_forward_hook(lambda *_: time.sleep(0.02))
    fit_network(training, None, stopping=Stopping(1, 1), on_epoch=watch, name="resumed")
    # The last of four batches alone, which takes as long as the network sleeps or longer.
    assert watch.records[0].rows_per_second is not None
    assert watch.records[0].rows_per_second < 16 / 0.02


def test_keeps_the_last_epoch_where_nothing_is_held_out() -> None:
    records = train(network := start())
    assert len(records) == 5
    assert math.isnan(records[0].valid_loss)
    assert records[0].refinement is None
    judged = start()
    train(judged, [0.5, 0.6, 0.7, 0.8, 0.9])
    assert torch.equal(network.weight, judged.weight)


def test_ends_where_patience_does() -> None:
    assert len(train(start(), [0.7, 0.8, 0.6, 0.6, 0.6, 0.6], epochs=6, patience=2)) == 4


def test_ends_where_it_is_told_to() -> None:
    assert len(train(start(), epochs=6, most=3)) == 3


def test_records_hold_what_training_was_like() -> None:
    records = train(start(), [0.5, 0.6, 0.7, 0.8, 0.9])
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert all(record.model == "straight" and record.epochs == 5 for record in records)
    assert records[-1].train_loss < records[0].train_loss < math.log(3)
    assert records[0].train_accuracy is not None
    assert 1 / 3 < records[0].train_accuracy < 1
    assert records[0].gradient_norm is not None
    assert 0 < records[0].gradient_norm < LONGEST_GRADIENT
    assert records[0].learning_rate is not None
    assert records[-1].learning_rate is not None
    assert records[-1].learning_rate < records[0].learning_rate
    assert records[0].rows_per_second is not None
    assert records[0].rows_per_second > 0


def test_a_long_gradient_is_cut_and_recorded_as_it_was() -> None:
    features, target = draw()
    batches = Batches((features * 1000,), target, 400, torch.Generator().manual_seed(0))
    network = start()
    parameters = FlatParameters(network)
    watch = Watch()
    fit_network(
        begin(parameters, batches, PlainDescent(parameters), lambda _: 1.0),
        None,
        stopping=Stopping(1, 1),
        on_epoch=watch,
        name="steep",
    )
    assert watch.records[0].gradient_norm is not None
    assert watch.records[0].gradient_norm > 100
    length = math.sqrt(sum(float(parameter.detach().square().sum()) for parameter in network.parameters()))
    # One step of the average, from zero.
    assert length == pytest.approx(LONGEST_GRADIENT * 10 / 11, rel=1e-4)
