"""The training loop of every network."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossent.train.monitor import EpochRecord, OnEpoch
from crossent.train.optim import ParameterAverage

# Longer gradients are shortened to this length: one odd batch must not undo the work of many.
LONGEST_GRADIENT = 1.0


@dataclass(frozen=True, eq=False)
class Batches:
    """Rows in memory, in another order each epoch; no row is left out, and no batch is much smaller than the others.

    Attributes
    ----------
    inputs
        What the network takes, each ``(n, ...)``.
    target
        ``(n,)`` int64 class indices.
    size
        Most rows of a batch.
    generator
        Draws the orders.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    size: int
    generator: torch.Generator

    def __len__(self) -> int:
        """Return the number of batches."""
        return math.ceil(len(self.target) / self.size)

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        """Yield the inputs and the target of each batch."""
        order = torch.randperm(len(self.target), generator=self.generator)
        for rows in order.tensor_split(len(self)):
            yield tuple(values[rows] for values in self.inputs), self.target[rows]


@dataclass(frozen=True)
class HeldOut:
    """How good a network is on rows held out; the fields are those of `EpochRecord`."""

    loss: float
    refinement: float
    temperature: float
    accuracy: float
    calibration_error: float


@dataclass(frozen=True)
class Epoch:
    """Means over the batches of an epoch: the loss, the share of rows that are right, the gradient before clipping."""

    loss: float
    accuracy: float
    gradient_norm: float
    seconds: float


def fit_network(  # noqa: PLR0913 - all that a training is made of
    network: nn.Module,
    batches: Batches,
    judge: Callable[[], HeldOut] | None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    epochs: int,
    patience: int,
    on_epoch: OnEpoch,
    name: str,
) -> None:
    """Train a network in place, and leave the averaged parameters of the best epoch in it.

    The best epoch is the one of lowest refinement: the log-loss of rows held out after the temperature that suits them,
    for confidence is corrected later, and the epoch that is best before that is often too early a one (Berta et al.
    2025, "Rethinking Early Stopping: Refine, Then Calibrate").

    Parameters
    ----------
    network
        Makes ``(n, K)`` logits, or ``(k, n, K)`` those of k heads, of a batch's inputs.
    batches
        Training rows.
    judge
        Tells how good the network is as it stands; None where no rows are held out: then the last epoch is the best.
    loss
        From the logits and the ``(n,)`` target to a scalar.
    optimizer, schedule
        Both go one step a batch.
    epochs
        The most that there are.
    patience
        Epochs without a gain before training ends.
    on_epoch
        Told of every epoch; returns True to end training.
    name
        What the records call the model.
    """
    average = ParameterAverage(network)
    best, best_epoch, best_values = math.inf, 0, average.values
    for epoch in range(1, epochs + 1):
        trained = train_epoch(network, batches, average, loss=loss, optimizer=optimizer, schedule=schedule)
        held_out = None
        if judge is not None:
            with average.in_place():
                held_out = judge()
        if held_out is None or held_out.refinement < best:
            best = math.inf if held_out is None else held_out.refinement
            best_epoch, best_values = epoch, [value.clone() for value in average.values]
        record = _record(name, epoch, epochs, trained, held_out, optimizer, len(batches.target))
        if on_epoch(record) or epoch - best_epoch >= patience:
            break
    for parameter, value in zip(network.parameters(), best_values, strict=True):
        parameter.detach().copy_(value)


def train_epoch(
    network: nn.Module,
    batches: Batches,
    average: ParameterAverage,
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> Epoch:
    """Go once over the rows: for each batch a loss, its gradient, and a step against it."""
    started = time.perf_counter()
    network.train()
    # Sums stay tensors: reading a number out after each batch would wait for it.
    total, right, length = torch.zeros(()), torch.zeros(()), torch.zeros(())
    for inputs, target in batches:
        logits = network(*inputs)
        value = loss(logits, target)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        length += nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        average.update()
        total += value.detach() * len(target)
        right += (logits.detach().argmax(-1) == target).double().mean() * len(target)
    n = len(batches.target)
    return Epoch(
        float(total) / n, float(right) / n, float(length) / len(batches), seconds=time.perf_counter() - started
    )


def _record(
    name: str,
    epoch: int,
    epochs: int,
    trained: Epoch,
    held_out: HeldOut | None,
    optimizer: torch.optim.Optimizer,
    rows: int,
) -> EpochRecord:
    return EpochRecord(
        model=name,
        fold=1,
        folds=1,
        epoch=epoch,
        epochs=epochs,
        train_loss=trained.loss,
        valid_loss=math.nan if held_out is None else held_out.loss,
        train_accuracy=trained.accuracy,
        valid_accuracy=None if held_out is None else held_out.accuracy,
        refinement=None if held_out is None else held_out.refinement,
        temperature=None if held_out is None else held_out.temperature,
        calibration_error=None if held_out is None else held_out.calibration_error,
        gradient_norm=trained.gradient_norm,
        learning_rate=float(optimizer.param_groups[0]["lr"]),
        rows_per_second=rows / trained.seconds,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: the products of small networks are shorter than the wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
