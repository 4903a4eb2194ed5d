"""The loss of a network with several heads.

**Shape.** ``n`` rows, ``K`` classes, ``k`` heads: logits ``(k, n, K)`` and a target ``(n,)`` of class indices or ``(n,
K)`` of distributions; out comes a scalar.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from crossent.losses.cross_entropy import cross_entropy
from crossent.losses.targets import one_hot
from crossent.models.model import Examples
from crossent.models.objective import Objective


@dataclass(frozen=True, eq=False)
class HeadsLoss:
    """The mean of the losses of the heads; each head has its own loss, so that they do not all learn the same.

    The loss of a distribution is the mean, by its shares, of what each class would cost as the target: linear, so that
    the loss of a mixed target is the mixture of losses, weights of classes included.

    Attributes
    ----------
    class_weight
        ``(K,)`` float32 weight of each class, such that the weight of a row times the weight of its class is one on
        average over the training rows: a loss is a mean over rows, and those of the parts of a batch add up to its own.
        None for ones, where rows have no weights either.
    log_prior
        ``(K,)`` float32, added to the logits, or None for zeros.
    label_smoothing
        Share of each target that goes evenly to all classes.
    focal_gamma
        Exponent of the focal loss; 0 for cross entropy.
    """

    class_weight: Tensor | None
    log_prior: Tensor | None
    label_smoothing: float
    focal_gamma: float

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar, of ``(k, n, K)`` logits and the target of n rows, as `heads_target` makes it."""
        heads, n, _ = logits.shape
        target, row_weight = self._weigh(target)
        return cross_entropy(
            logits.flatten(0, 1),
            _repeat(target, heads),
            sample_weight=None if row_weight is None else _repeat(row_weight, heads),
            log_prior=self.log_prior,
            label_smoothing=self.label_smoothing,
            focal_gamma=self.focal_gamma,
            normalizer=heads * n,
        )

    def _weigh(self, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the target with shares by weight, and the weight of each row, which smoothing then holds for too."""
        if self.class_weight is None:
            return target, None
        if not target.is_floating_point():
            return target, self.class_weight[target]
        weighted = target * self.class_weight
        row_weight = weighted.sum(-1)
        return weighted / row_weight.unsqueeze(-1), row_weight


def heads_loss(objective: Objective, train: Examples, device: torch.device) -> HeadsLoss:
    """Return the loss that a network on a device minimises on training rows; for their target see `heads_target`."""
    weight = objective.class_weight
    if weight is None and train.weight is not None:
        weight = np.ones(train.classes)
    if weight is not None:
        weight = weight * len(train.target) / (weight @ train.class_counts())
    log_prior = _float32(objective.log_prior, device)
    return HeadsLoss(_float32(weight, device), log_prior, objective.label_smoothing, objective.focal_gamma)


def heads_target(train: Examples, device: torch.device) -> Tensor:
    """Return the target that `HeadsLoss` takes: class indices, or shares of the classes times the weight of the row.

    The loss is linear in the shares, so that a row with twice the shares costs twice as much, mixed with others or not.
    """
    target = torch.from_numpy(train.learned_target).to(device)
    if train.weight is None:
        return target
    shares = target if target.is_floating_point() else one_hot(target, train.classes)
    return shares * torch.from_numpy(train.weight).to(device, shares.dtype).unsqueeze(-1)


def _repeat(values: Tensor, heads: int) -> Tensor:
    return values.expand(heads, *values.shape).flatten(0, 1)


def _float32(values: npt.NDArray[np.float64] | None, device: torch.device) -> Tensor | None:
    return None if values is None else torch.from_numpy(values.astype(np.float32)).to(device)
