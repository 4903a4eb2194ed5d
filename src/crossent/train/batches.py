"""Batches of rows in memory.

**Shape.** ``n`` rows: inputs ``(n, ...)`` and a target ``(n,)`` or ``(n, K)`` go in; batches of the same arrays with up
to `size` rows come out.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# What a network takes, and the target.
Batch = tuple[tuple[Tensor, ...], Tensor]


@dataclass(frozen=True, eq=False)
class Batches:
    """Rows in memory, in another order in each epoch; no row is left out, and all batches have about the same size.

    Attributes
    ----------
    inputs
        What the network takes, each ``(n, ...)``.
    target
        ``(n,)`` int64 class indices, or ``(n, K)`` floating distributions.
    size
        Largest number of rows in a batch.
    generator
        Draws only the orders.
    augments
        Functions that change a batch before the network sees it, one after the other.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    size: int
    generator: torch.Generator
    augments: tuple[Callable[[Batch], Batch], ...] = ()

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return math.ceil(len(self.target) / self.size)

    def epoch(self, first: int = 0) -> Iterator[Batch]:
        """Draw an order, and yield its batches from the batch `first` on, counted from 0."""
        order = torch.randperm(len(self.target), generator=self.generator).to(self.target.device)
        for rows in itertools.islice(order.tensor_split(len(self)), first, None):
            batch: Batch = tuple(values[rows] for values in self.inputs), self.target[rows]
            for augment in self.augments:
                batch = augment(batch)
            yield batch
