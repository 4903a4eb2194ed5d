"""Mixup: a network learns from mixtures of rows.

**Shape.** ``n`` rows, ``K`` classes: inputs ``(n, ...)`` and a target ``(n,)`` or ``(n, K)`` go in; inputs of the same
shapes and a target ``(n, K)`` come out. The paper calls the share of a row lambda.

Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
"""

from dataclasses import dataclass
from typing import final

import scipy.special
import torch
from torch import Tensor

from crossent.losses.targets import one_hot
from crossent.train.batches import Batch


@final
@dataclass(frozen=True, eq=False)
class Mixup:
    """Mixes each row of a batch with another row of the batch, and their targets in the same way.

    The share of the row itself is drawn from the Beta distribution, separately for each row, so that a batch has rows
    that are hardly mixed and rows that are mixed strongly.

    Floating inputs are mixed linearly. Whole numbers and booleans are codes, and the mean of two codes would be the
    code of something else. So each cell is taken from one of the two rows, from the row itself with a probability that
    is its share. The vectors that a network has for codes are then mixed linearly in expectation.

    Attributes
    ----------
    alpha
        Both parameters of the Beta distribution, above 0: near 0 a row is nearly itself or nearly the other, at 1 all
        shares are equally likely.
    num_classes
        K.
    generator
        Draws only the shares, the partners and the cells.

    Examples
    --------
    >>> mixup = Mixup(1.0, 3, torch.Generator().manual_seed(0))
    >>> rows = torch.tensor([[0.0], [10.0]])
    >>> (mixed,), target = mixup(((rows,), torch.tensor([0, 2])))
    >>> bool((mixed / 10 == target[:, 2:]).all())
    True
    """

    alpha: float
    num_classes: int
    generator: torch.Generator

    def __call__(self, batch: Batch) -> Batch:
        """Return a batch with the same number of rows; its target is ``(n, K)`` floating distributions."""
        inputs, target = batch
        share = self._draw_shares(len(target))
        partner = torch.randperm(len(target), generator=self.generator)
        mixed = tuple(self._mix(values, values[partner], share) for values in inputs)
        distribution = target if target.is_floating_point() else one_hot(target, self.num_classes)
        return mixed, self._mix(distribution, distribution[partner], share)

    def _draw_shares(self, n: int) -> Tensor:
        # By the inverse of the distribution function, because torch's draws from it take no generator.
        even = torch.rand(n, generator=self.generator, dtype=torch.float64)
        return torch.from_numpy(scipy.special.betaincinv(self.alpha, self.alpha, even.numpy())).float()

    def _mix(self, row: Tensor, other: Tensor, share: Tensor) -> Tensor:
        # Draws are made on the CPU, so that they are the same for every device.
        share = share.reshape(-1, *[1] * (row.ndim - 1))
        if row.is_floating_point():
            return torch.lerp(other, row, share.to(row.device, row.dtype))
        from_row = torch.rand(row.shape, generator=self.generator) < share
        return torch.where(from_row.to(row.device), row, other)
