"""A network in training: everything that a step changes, which is everything that a checkpoint holds.

**Shape.** ``P`` parameters ``(P,)``; batches of ``n`` rows of K classes, with inputs ``(n, ...)`` and a target ``(n,)``
or ``(n, K)``.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from crossent.errors import ProcessError
from crossent.train.batches import Batch, Batches
from crossent.train.checkpoint import State, StateMismatchError
from crossent.train.optim import Optimizer, Schedule
from crossent.train.parameters import FlatParameters, ParameterAverage
from crossent.train.processes import Processes

# A function from the logits and the target of rows to their mean loss.
Loss = Callable[[Tensor, Tensor], Tensor]

# Longer gradients are clipped to this length, so that one unusual batch does not undo the work of many.
LONGEST_GRADIENT = 1.0
# Batches with at least this number of rows go through the network in two halves, which takes no longer. Two processes
# with one half each then add up exactly the same numbers as one process. Other sums differ in their last bits, and
# training amplifies this. Smaller batches are not divided, because adding up the gradients takes longer than it saves.
LEAST_DIVIDED = 1024


@dataclass(frozen=True)
class Epoch:
    """Means over the batches of an epoch.

    Attributes
    ----------
    loss, accuracy
        On the training rows, with the parameters that the network had when it saw them.
    gradient_norm, first_gradient_norm
        Length of the gradient before clipping, on average and in the first batch.
    gradient_ratio
        Length of the gradient of the first layer divided by the length for the last layer, each relative to the root of
        the number of weights; None if the last layer has no gradient.
    """

    loss: float
    accuracy: float
    gradient_norm: float
    first_gradient_norm: float
    gradient_ratio: float | None


@final
class Training:
    """A network with its optimizer, schedule, averages, best epoch so far, and position in the rows.

    Parameters
    ----------
    parameters, optimizer
        The parameters of a network, and their optimiser; changed in place.
    schedule
        Schedule of the learning rate.
    batches
        Training rows.
    loss
        The loss that the optimiser lowers.
    generators
        All generators, except for the one of the order of the rows.
    accumulation
        Number of parts in which the rows of this process go through the network, one after the other; memory is needed
        for one part.
    processes
        The processes that train the same network with the same batches, each with its part of the rows of a batch.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        batches: Batches,
        *,
        loss: Loss,
        optimizer: Optimizer,
        schedule: Schedule,
        generators: tuple[torch.Generator, ...],
        accumulation: int,
        processes: Processes,
    ) -> None:
        self.network, self.optimizer, self.average = parameters.network, optimizer, ParameterAverage(parameters.values)
        # The running epoch, and its next batch.
        self.epoch, self.batch = 1, 0
        self.best_epoch, self._best_score = 0, math.inf
        self._best_values = self.average.values.clone()
        self._batches, self._loss, self._schedule = batches, loss, schedule
        self._generators, self._accumulation, self._processes = generators, accumulation, processes
        self._order = batches.generator.get_state()
        self._parameters = parameters
        # Sums of losses, right answers, and lengths of gradients.
        self._sums, self._first_length = parameters.values.new_zeros(5), parameters.values.new_tensor(math.nan)

    @property
    def batches(self) -> int:
        """Number of batches of an epoch."""
        return len(self._batches)

    @property
    def rows(self) -> int:
        """Number of rows of an epoch."""
        return len(self._batches.target)

    @property
    def epochs_without_gain(self) -> int:
        """Epochs that ended since the best one."""
        return self.epoch - 1 - self.best_epoch

    @property
    def steps(self) -> int:
        """Number of steps that were taken."""
        return (self.epoch - 1) * len(self._batches) + self.batch

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return self._schedule(self.steps)

    def batches_left(self) -> Iterator[Batch]:
        """Yield the remaining batches of the running epoch."""
        return self._batches.epoch(self.batch)

    def step(self, batch: Batch) -> bool:
        """Compute the loss of a batch and its gradient, and step against it; return False if the leader has ended."""
        self._parameters.gradient.zero_()
        sums, goes_on = self._sum_over_processes(self._descend(batch))
        if not goes_on:
            return False
        lengths = self._parameters.gradient_lengths()
        self._parameters.shorten_gradient(lengths[0], LONGEST_GRADIENT)
        step = self.steps + 1
        self.optimizer.step(self.learning_rate, step)
        self.average.update(step)
        # Sums stay tensors, because reading a number after each batch would wait for the device.
        self._sums += torch.cat([sums, lengths])
        if self.batch == 0:
            self._first_length.copy_(lengths[0])
        self.batch += 1
        return True

    def _descend(self, batch: Batch) -> Tensor:
        """Add up the gradient over the rows of this process; return the sums of their losses and right answers."""
        sums = self._sums.new_zeros(2)
        for inputs, target in self._own_parts(batch):
            with self._processes.autocast():
                logits = self.network(*inputs)
            loss = self._loss(logits, target)
            # The share of this part in the mean over the batch, without a further product in the backward pass.
            loss.backward(torch.full_like(loss, len(target) / len(batch[1])))  # type: ignore[no-untyped-call]  # torch has no types
            sums += torch.stack([loss.detach(), _accuracy(logits.detach(), target)]) * len(target)
        return sums

    def _own_parts(self, batch: Batch) -> Iterator[Batch]:
        """Yield the rows of a batch that belong to this process, in parts of nearly equal size; none is empty."""
        halves = 2 if self._processes.count == 1 and self._batches.size >= LEAST_DIVIDED else 1
        own_rows = _split(batch, self._processes.count)[self._processes.rank]
        yield from (part for part in _split(own_rows, halves * self._accumulation) if len(part[1]))

    def _sum_over_processes(self, sums: Tensor, *, goes_on: bool = True) -> tuple[Tensor, bool]:
        """Sum gradients, losses and right answers over the processes; return the last two, and what the leader says."""
        if self._processes.count == 1:
            return sums, goes_on
        # One sum of everything is quicker than three, and it tells all processes whether the training ends.
        said = sums.new_tensor([float(goes_on and self._processes.leads)])
        summed = torch.cat([self._parameters.gradient, sums, said])
        self._processes.sum(summed)
        gradient, sums, said = torch.split(summed, [len(self._parameters.gradient), 2, 1])
        self._parameters.gradient.copy_(gradient)
        return sums, goes_on if self._processes.leads else bool(said)

    def end(self) -> None:
        """Tell the processes that follow that there is no further step."""
        # Processes that have ended need not know.
        with contextlib.suppress(ProcessError):
            self._sum_over_processes(self._sums.new_zeros(2), goes_on=False)

    def measured(self) -> Epoch:
        """Return the means over the epoch."""
        loss, accuracy, length, first, last = self._sums.tolist()
        return Epoch(
            loss=loss / self.rows,
            accuracy=accuracy / self.rows,
            gradient_norm=length / self.batch,
            first_gradient_norm=float(self._first_length),
            gradient_ratio=first / last if last > 0 else None,
        )

    def end_epoch(self, score: float | None) -> None:
        """Begin the next epoch; keep the averages if the last epoch is the best, or if epochs are not compared."""
        if score is None or score < self._best_score:
            self.best_epoch, self._best_score = self.epoch, math.inf if score is None else score
            self._best_values.copy_(self.average.values)
        self.epoch, self.batch = self.epoch + 1, 0
        self._order = self._batches.generator.get_state()
        self._sums.zero_()

    def put_best_in_place(self) -> None:
        """Leave the averaged parameters of the best epoch in the network."""
        self._parameters.values.copy_(self._best_values)

    def state(self) -> State:
        """Return what a checkpoint holds; its tensors are not copies."""
        tensors = {f"module.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        tensors |= {f"generator.{i}": generator.get_state() for i, generator in enumerate(self._generators)}
        tensors |= {"average": self.average.values, "order": self._order}
        tensors |= {"sums": self._sums, "first_length": self._first_length}
        return State(
            step=self.steps,
            tensors=tensors,
            best_epoch=self.best_epoch,
            best={"average": self._best_values},
            numbers={
                "epoch": self.epoch,
                "batch": self.batch,
                "best_score": self._best_score if math.isfinite(self._best_score) else None,
            },
        )

    def restore(self, state: State) -> None:
        """Go back to a saved state.

        Raises
        ------
        StateMismatchError
            If the state belongs to another training; this training is then unusable, too.
        """
        state.check_like(self.state())
        tensors = state.tensors
        epoch, batch, score = _position(state, len(self._batches))
        self.network.load_state_dict(_below("module", tensors))
        self.optimizer.restore(_below("optimizer", tensors))
        self.average.values.copy_(tensors["average"])
        try:
            for i, generator in enumerate(self._generators):
                generator.set_state(tensors[f"generator.{i}"])
            self._batches.generator.set_state(tensors["order"])
        except RuntimeError as error:
            raise StateMismatchError("the state of a generator is damaged") from error
        self._order = tensors["order"]
        self._sums.copy_(tensors["sums"])
        self._first_length.copy_(tensors["first_length"])
        self.epoch, self.batch, self.best_epoch, self._best_score = epoch, batch, state.best_epoch, score
        self._best_values.copy_(state.best["average"])


def _position(state: State, batches: int) -> tuple[int, int, float]:
    """Return the epoch, its next batch, and the score of the best epoch, if all of them fit together."""
    if state.numbers.keys() != {"epoch", "batch", "best_score"}:
        raise StateMismatchError("its numbers have other names")
    epoch, batch, score = (state.numbers[name] for name in ("epoch", "batch", "best_score"))
    whole = isinstance(epoch, int) and isinstance(batch, int)
    if not whole or not 0 <= batch < batches or not 0 <= state.best_epoch < epoch:
        raise StateMismatchError(f"it is in batch {batch} of epoch {epoch}, of {batches} batches")
    if state.step != (epoch - 1) * batches + batch:
        raise StateMismatchError(f"step {state.step} is not in batch {batch} of epoch {epoch}")
    return epoch, batch, math.inf if score is None else score


def _split(batch: Batch, count: int) -> list[Batch]:
    inputs, target = batch
    columns = zip(*(values.tensor_split(count) for values in inputs), strict=True)
    return list(zip(columns, target.tensor_split(count), strict=True))


def _accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the share of rows, on average over heads, whose largest logit is at the target."""
    right = target.argmax(-1) if target.is_floating_point() else target
    return (logits.argmax(-1) == right).float().mean()


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
