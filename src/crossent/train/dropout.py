"""Dropout with draws that are part of the batch: a row leaves out the same units, however the batch is divided.

**Shape.** ``k`` heads, ``n`` rows, layers of `width` units: hidden values ``(k, n, width)``. A draw of 64 bits decides
about four units, so a row has draws ``(layers, width / 4)``. The paper calls 1 - `share` the probability p of keeping a
unit.

Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from crossent.train.batches import Batch


@final
@dataclass(frozen=True, eq=False)
class DropoutDraws:
    """Adds an input for a network: random bits for each row, by which `drop` decides.

    Attributes
    ----------
    layers, width
        Number of layers of hidden units, counting those side by side, and number of units of each.
    generator
        Draws the bits.

    Examples
    --------
    >>> draw = DropoutDraws(layers=2, width=6, generator=torch.Generator().manual_seed(0))
    >>> (rows, draws), _ = draw(((torch.ones(3, 4),), torch.tensor([0, 1, 2])))
    >>> draws.shape
    torch.Size([3, 2, 2])
    """

    layers: int
    width: int
    generator: torch.Generator

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``(n, layers, width / 4)`` int64 draws after its inputs."""
        inputs, target = batch
        # A draw of 64 bits gives four of 16 bits, because drawing each separately took a quarter of the training time.
        shape = (self.layers, len(target), math.ceil(self.width / 4))
        draws = torch.empty(shape, dtype=torch.int64).random_(-(2**63), None, generator=self.generator)
        # Rows come first, as in every input; in memory the draws of a layer are side by side, like its units.
        return (*inputs, draws.transpose(0, 1).to(target.device)), target


def drop(hidden: Tensor, draws: Tensor, share: float) -> Tensor:
    """Set a share of the values to zero, and scale up the others so that the mean stays the same.

    Parameters
    ----------
    hidden
        ``(k, n, width)`` floating values.
    draws
        ``(n, k, width / 4)`` int64 random bits, 16 for each value.
    share
        From 0 to below 1.

    Examples
    --------
    >>> drop(torch.ones(1, 1, 4), torch.tensor([[[0x7FFF_8000_7FFF_7FFF]]]), 0.5)
    tensor([[[2., 2., 0., 2.]]])
    """
    bits = draws.transpose(0, 1).view(torch.int16)[..., : hidden.shape[2]]
    stays = bits >= round(share * 2**16) - 2**15
    return hidden * stays.to(hidden.dtype).div_(1 - share)
