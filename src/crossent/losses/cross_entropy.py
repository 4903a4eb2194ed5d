"""Cross entropy of logits and targets."""

from typing import Literal

import torch
from torch import Tensor

from crossent.checks import check_choice, check_class_indices, check_number, check_per_class, check_target
from crossent.errors import ShapeError
from crossent.losses.softmax import scale

Reduction = Literal["none", "mean", "sum"]


def cross_entropy(  # noqa: PLR0913 - all that torch takes, and more
    logits: Tensor,
    target: Tensor,
    class_weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    sample_weight: Tensor | None = None,
    temperature: float = 1.0,
    log_prior: Tensor | None = None,
    normalizer: float | None = None,
    empty: Literal["nan", "zero"] = "nan",
) -> Tensor:
    """Cross entropy in nats, as `torch.nn.functional.cross_entropy` defines it, and more.

    Where torch loses digits this does not: a row whose target is its largest logit is summed as ``log1p`` of the other
    classes, so that logits (20, 0, 0) give 4.12e-9, where torch gives 0 in float32. Zero weight on a logit of minus
    infinity counts as zero. Rows that are ignored are never read, so that NaN there does no harm.

    Parameters
    ----------
    logits
        ``(n, K)``, ``(n, K, ...)`` or ``(K,)``, of any floating dtype; half precision is computed in float32.
    target
        Class indices of the logits' shape without K, or distributions of the logits' shape, which need not sum to one.
    class_weight
        ``(K,)`` weight of each class.
    ignore_index
        Rows with this class index count nothing.
    reduction
        ``"none"`` gives one value a row; ``"sum"`` adds them; ``"mean"`` divides the sum by the weights of the rows
        that count (for distributions, as in torch, class weights are left out of the divisor).
    label_smoothing
        Share of each target's weight that goes evenly to all classes (Szegedy et al. 2016), weighted as torch does.
    sample_weight
        Weight of each row, of the shape of the class indices; rows of weight 0 are ignored.
    temperature
        Divides the logits.
    log_prior
        ``(K,)`` added to the logits: logit adjustment (Menon et al. 2021).
    normalizer
        Divides the sum in ``"mean"`` instead of the weights.
    empty
        What ``"mean"`` gives where no row counts: ``"nan"`` as in torch, or ``"zero"``. Gradients are zero either way.

    Returns
    -------
    Tensor
        A scalar, or one value a row; float32 or wider whatever the dtype of the logits.

    Raises
    ------
    ShapeError
        If shapes do not fit, or a class index is out of range.
    SettingError
        If an option is out of bounds.

    Examples
    --------
    >>> logits = torch.tensor([[20.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> cross_entropy(logits, torch.tensor([0, 2]), reduction="none")
    tensor([4.1223e-09, 1.0986e+00])
    """
    check_target(logits, target)
    check_choice("reduction", reduction, ("none", "mean", "sum"))
    check_choice("empty", empty, ("nan", "zero"))
    check_number("label_smoothing", label_smoothing, 0.0, 1.0)
    logits = scale(_classes_last(logits), temperature)
    if log_prior is not None:
        check_per_class("log_prior", log_prior, logits.shape[-1])
        logits = logits + log_prior.to(logits.dtype)
    if class_weight is not None:
        check_per_class("class_weight", class_weight, logits.shape[-1])
        class_weight = class_weight.to(logits.dtype)
    counts = _rows_that_count(logits, target, ignore_index, sample_weight)
    logits = torch.where(counts.unsqueeze(-1), logits, 0.0)
    if target.is_floating_point():
        distribution = torch.where(counts.unsqueeze(-1), _classes_last(target).to(logits.dtype), 0.0)
        distribution = distribution * (1 - label_smoothing) + label_smoothing / logits.shape[-1]
        losses = _soft_losses(logits, distribution if class_weight is None else distribution * class_weight)
        weight = counts.to(logits.dtype)
    else:
        indices = torch.where(counts, target.long(), 0)
        losses, weight = _hard_losses(logits, indices, class_weight, label_smoothing)
    row_weight = counts.to(logits.dtype) if sample_weight is None else sample_weight.to(logits.dtype)
    # Not a product: an infinite loss of an ignored row times zero would be NaN.
    losses = torch.where(counts, losses * row_weight, 0.0)
    divisor = torch.where(counts, weight * row_weight, 0.0)
    return _reduce(losses, divisor, reduction, normalizer, empty)


def _classes_last(values: Tensor) -> Tensor:
    return values.movedim(1, -1) if values.ndim > 2 else values


def _rows_that_count(logits: Tensor, target: Tensor, ignore_index: int, sample_weight: Tensor | None) -> Tensor:
    rows = logits.shape[:-1]
    if target.is_floating_point():
        counts = torch.ones(rows, dtype=torch.bool, device=logits.device)
    else:
        counts = target != ignore_index
    if sample_weight is None:
        return counts
    if sample_weight.shape != rows:
        raise ShapeError(
            f"sample_weight holds one value for each row: shape {tuple(rows)}.",
            f"Its shape is {tuple(sample_weight.shape)}.",
            "Give one weight a row.",
        )
    return counts & (sample_weight != 0)


def _hard_losses(
    logits: Tensor, indices: Tensor, class_weight: Tensor | None, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """Return the loss of each row, and the weight of its class."""
    below_top, log_sum = _relative(logits)
    try:
        given = below_top.gather(-1, indices.unsqueeze(-1)).squeeze(-1)
        weight = torch.ones_like(given) if class_weight is None else class_weight[indices]
    except (RuntimeError, IndexError):
        check_class_indices(indices, logits.shape[-1], None)
        raise
    losses = weight * (log_sum - given)
    if label_smoothing == 0:
        return losses, weight
    even = torch.full_like(logits, label_smoothing / logits.shape[-1])
    even = even if class_weight is None else even * class_weight
    smooth = even.sum(-1) * log_sum - _weighted_sum(even, below_top)
    return (1 - label_smoothing) * losses + smooth, weight


def _soft_losses(logits: Tensor, distribution: Tensor) -> Tensor:
    below_top, log_sum = _relative(logits)
    return distribution.sum(-1) * log_sum - _weighted_sum(distribution, below_top)


def _relative(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits less the largest of their row, and the log-sum-exp of these.

    The largest is left out of every sum and difference rather than cancelled: 1 - 1 + 4e-9 is 0 in float32, both in the
    loss and in its gradient.
    """
    top = logits.detach().argmax(-1, keepdim=True)
    is_top = torch.arange(logits.shape[-1], device=logits.device) == top
    below_top = (logits - logits.gather(-1, top)).masked_fill(is_top, 0.0)
    log_sum = torch.log1p(below_top.exp().masked_fill(is_top, 0.0).sum(-1))
    return below_top, log_sum


def _weighted_sum(weight: Tensor, values: Tensor) -> Tensor:
    # Zero weight on minus infinity is zero.
    return torch.where(weight == 0, 0.0, weight * torch.where(weight == 0, 0.0, values)).sum(-1)


def _reduce(
    losses: Tensor, divisor: Tensor, reduction: Reduction, normalizer: float | None, empty: Literal["nan", "zero"]
) -> Tensor:
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    if normalizer is not None:
        return total / normalizer
    weight = divisor.sum()
    # Dividing by one and choosing afterwards keeps the gradients zero where nothing counts.
    mean = total / torch.where(weight == 0, 1.0, weight)
    return torch.where(weight == 0, float("nan") if empty == "nan" else 0.0, mean)
