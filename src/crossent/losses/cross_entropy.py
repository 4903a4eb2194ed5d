"""Cross entropy of logits and targets.

The logits are transformed, each row has its loss, and the rows are reduced to one number. Inside, the classes are the
last dimension, as ``(n, ..., K)``, and everything is float32 or wider.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from crossent.checks import (
    check_choice,
    check_class_indices,
    check_class_mask,
    check_number,
    check_per_class,
    check_per_row,
    check_positive,
    check_target,
)
from crossent.errors import SettingError
from crossent.losses.softmax import check_temperature, widen
from crossent.losses.targets import one_hot, smooth_labels

Reduction = Literal["none", "mean", "sum"]
Empty = Literal["nan", "zero"]


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
    z_loss: float = 0.0,
    softcap: float | None = None,
    focal_gamma: float = 0.0,
    class_mask: Tensor | None = None,
    normalizer: float | None = None,
    empty: Empty = "nan",
) -> Tensor:
    """Cross entropy in nats, as `torch.nn.functional.cross_entropy` defines it, and more.

    The arguments are torch's, in torch's order, without the two that torch has retired (`size_average` and `reduce`).

    Where torch loses digits this does not: a row whose target is its largest logit is summed as ``log1p`` of the other
    classes, so that logits (20, 0, 0) give 4.12e-9, and the gradient as much, where torch gives 0 in float32. Zero
    weight on an infinite loss counts as zero. Rows that are ignored are never read, so that NaN there does no harm.

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
        that count: the class weight of their index (for distributions 1, as in torch) times their sample weight.
    label_smoothing
        Share of each target's weight, 0 to 1, that goes evenly to all classes (Szegedy et al. 2016); the class weights
        apply to the smoothed target, as in torch.
    sample_weight
        Weight of each row, of the shape of the class indices, of any dtype; rows of weight 0 are ignored, so that a
        boolean mask of the rows to keep will do.
    temperature
        Divides the logits, 1e-6 to 1e6 (Guo et al. 2017).
    log_prior
        ``(K,)`` added to the logits after the temperature: logit adjustment (Menon et al. 2021).
    z_loss
        Adds ``z_loss * log(Z) ** 2`` to the loss of a row, with Z the sum of the exponentials of its logits, to keep
        these from drifting (PaLM, Chowdhery et al. 2022); weighted as the row is in ``"mean"``.
    softcap
        Turns the logits into ``softcap * tanh(logits / softcap)`` before all else (Gemma 2, Gemma Team 2024).
    focal_gamma
        Multiplies the loss of each class by ``(1 - p) ** focal_gamma``, p being its probability (Lin et al. 2017).
    class_mask
        True where a class is possible, of shape ``(K,)`` or of the logits' shape. The logits of impossible classes are
        never read, label smoothing passes them by, and a target there costs infinity.
    normalizer
        Divides the sum in ``"mean"`` instead of the weights: the number of rows in all batches or processes, say.
    empty
        What ``"mean"`` gives where the weights sum to zero: ``"nan"`` as in torch, or ``"zero"``. Gradients are zero
        either way.

    Returns
    -------
    Tensor
        A scalar, or one value a row; float32 or wider whatever the dtype of the logits.

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit, or a class index is out of range.
    SettingError
        If an option is out of bounds.

    Examples
    --------
    >>> logits = torch.tensor([[20.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> cross_entropy(logits, torch.tensor([0, 2]), reduction="none")
    tensor([4.1223e-09, 1.0986e+00])
    """
    check_target(logits, target)
    check_reduction(reduction, normalizer, empty)
    check_terms(label_smoothing, temperature, z_loss, softcap, focal_gamma)
    row_weight = _row_weight(logits, target, ignore_index, sample_weight)
    counts = row_weight != 0
    possible = None if class_mask is None else _possible_classes(class_mask, logits, counts)
    logits = _transform(_classes_last(logits), counts, possible, softcap, temperature, log_prior)
    target = _fill_ignored(target, counts)
    if class_weight is not None:
        check_per_class("class_weight", class_weight, logits.shape[-1])
        class_weight = class_weight.to(logits.dtype)
    if target.is_floating_point() or label_smoothing > 0:
        distribution = _smooth(target, label_smoothing, logits, possible)
        losses = _distribution_losses(logits, distribution, class_weight, focal_gamma)
    else:
        losses = _index_losses(logits, target, class_weight, focal_gamma)
    if class_weight is not None and not target.is_floating_point():
        target_weight = class_weight[target]
    else:
        target_weight = torch.ones_like(losses)
    if z_loss > 0:
        losses = losses + _weigh(target_weight, z_loss * logits.logsumexp(-1).square())
    return _reduce(losses * row_weight, target_weight * row_weight, reduction, normalizer, empty)


def check_reduction(reduction: str, normalizer: float | None, empty: str) -> None:
    """Check the options of `cross_entropy` that say how rows become one number.

    Raises
    ------
    SettingError
        If one is out of bounds, or if a normalizer is given without ``"mean"``.
    """
    check_choice("reduction", reduction, ("none", "mean", "sum"))
    check_choice("empty", empty, ("nan", "zero"))
    if normalizer is None:
        return
    check_positive("normalizer", normalizer)
    if reduction != "mean":
        raise SettingError(
            "normalizer divides the sum in reduction='mean'.",
            f"The reduction is {reduction!r}.",
            "Use reduction='mean', or leave the normalizer out.",
        )


def check_terms(
    label_smoothing: float, temperature: float, z_loss: float, softcap: float | None, focal_gamma: float
) -> None:
    """Check the options of `cross_entropy` that are numbers in the loss of a row.

    Raises
    ------
    SettingError
        If one is out of bounds.
    """
    check_number("label_smoothing", label_smoothing, 0.0, 1.0)
    check_temperature(temperature)
    check_number("z_loss", z_loss, 0.0)
    check_number("focal_gamma", focal_gamma, 0.0)
    if softcap is not None:
        check_positive("softcap", softcap)


def _classes_last(values: Tensor) -> Tensor:
    return values.movedim(1, -1) if values.ndim > 2 else values


def _row_weight(logits: Tensor, target: Tensor, ignore_index: int, sample_weight: Tensor | None) -> Tensor:
    """Return the sample weights, or ones, with 0 at the rows that are ignored."""
    rows = _classes_last(logits).shape[:-1]
    weight = torch.ones(rows, device=logits.device) if sample_weight is None else sample_weight
    check_per_row("sample_weight", weight, rows)
    counts = weight != 0
    if not target.is_floating_point():
        # As int64, because -100 as an unsigned byte would be class 156.
        counts = counts & (target.long() != ignore_index)
    return torch.where(counts, weight.to(widen(logits).dtype), 0.0)


def _possible_classes(class_mask: Tensor, logits: Tensor, counts: Tensor) -> Tensor:
    """Return the mask with the classes last, and True all over the rows that are ignored."""
    check_class_mask(class_mask, logits, _classes_last(logits).shape[-1])
    return _classes_last(class_mask) | ~counts.unsqueeze(-1)


def _transform(
    logits: Tensor,
    counts: Tensor,
    possible: Tensor | None,
    softcap: float | None,
    temperature: float,
    log_prior: Tensor | None,
) -> Tensor:
    """Return the logits whose softmax is the model's answer: 0 in ignored rows, minus infinity at impossible classes.

    What is not to be read is filled at the start and not at the end: the derivative of a function at NaN is NaN, and
    NaN times the zero gradient that comes back is NaN again.
    """
    read = counts.unsqueeze(-1) if possible is None else counts.unsqueeze(-1) & possible
    logits = torch.where(read, widen(logits), 0.0)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    if temperature != 1.0:
        logits = logits / temperature
    if log_prior is not None:
        check_per_class("log_prior", log_prior, logits.shape[-1])
        logits = logits + log_prior.to(logits.dtype)
    return logits if possible is None else logits.masked_fill(~possible, -math.inf)


def _fill_ignored(target: Tensor, counts: Tensor) -> Tensor:
    """Return the target with the classes last, and 0 in the rows that are ignored."""
    if target.is_floating_point():
        return torch.where(counts.unsqueeze(-1), _classes_last(target), 0.0)
    return torch.where(counts, target.long(), 0)


def _smooth(target: Tensor, label_smoothing: float, logits: Tensor, possible: Tensor | None) -> Tensor:
    """Return the target as a distribution, smoothed over the possible classes."""
    num_classes = logits.shape[-1]
    if not target.is_floating_point():
        target = one_hot(target, num_classes, dtype=logits.dtype)
    target = target.to(logits.dtype)
    if possible is None:
        return smooth_labels(target, num_classes, label_smoothing)
    even = possible.to(target.dtype) / possible.sum(-1, keepdim=True)
    return target * (1 - label_smoothing) + label_smoothing * even


def _index_losses(logits: Tensor, target: Tensor, class_weight: Tensor | None, focal_gamma: float) -> Tensor:
    """Return the loss of each row whose target is one class."""
    index = target.unsqueeze(-1)
    largest = logits.detach().argmax(-1, keepdim=True)
    below, log_sum = _below_largest(logits, largest, index == largest)
    try:
        losses = _focus(log_sum - below.gather(-1, index).squeeze(-1), focal_gamma)
    except RuntimeError:
        check_class_indices(target, logits.shape[-1])
        raise
    return losses if class_weight is None else _weigh(class_weight[target], losses)


def _distribution_losses(
    logits: Tensor, distribution: Tensor, class_weight: Tensor | None, focal_gamma: float
) -> Tensor:
    """Return the loss of each row whose target is a distribution."""
    if class_weight is not None:
        distribution = distribution * class_weight
    largest = logits.detach().argmax(-1, keepdim=True)
    most = distribution.gather(-1, largest) > distribution.sum(-1, keepdim=True) / 2
    below, log_sum = _below_largest(logits, largest, most)
    return _weigh(distribution, _focus(log_sum.unsqueeze(-1) - below, focal_gamma)).sum(-1)


def _below_largest(logits: Tensor, largest: Tensor, is_target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits less the largest of their row, and the log-sum-exp of these, both to the last digit.

    The value: the largest logit adds 1 to the sum, and this 1 is left to `log1p`, for ``1 + 4e-9`` is 1 in float32.

    The derivative by the largest logit: it is p less the target, and also minus the derivatives by all others. Where p
    and the target are both near 1, the others are what is left, so it is made to come from them. Elsewhere it comes
    from p itself, which can be far below 1 and so would be lost in a sum of the others.

    Parameters
    ----------
    logits
        ``(n, ..., K)``.
    largest
        ``(n, ..., 1)`` index of the largest logit.
    is_target
        ``(n, ..., 1)``, true where that class has most of the target's weight.

    Returns
    -------
    tuple
        ``(n, ..., K)`` and ``(n, ...)``.
    """
    top = logits.gather(-1, largest)
    # Infinity less itself is not a number: left out where one logit is infinite, and so certain; kept as the answer
    # where all are minus infinity, and so none is possible.
    from_others = (is_target | (top == math.inf)) & (top > -math.inf)
    is_largest = torch.arange(logits.shape[-1], device=logits.device) == largest
    below = logits - torch.where(from_others, top, top.detach())
    below = below.masked_fill(is_largest & from_others, 0.0)
    return below, (below.exp() - is_largest.to(below.dtype)).sum(-1).log1p()


def _focus(losses: Tensor, focal_gamma: float) -> Tensor:
    """Return the losses ``-log(p)`` times ``(1 - p) ** focal_gamma``."""
    if focal_gamma == 0:
        return losses
    # At infinity, and where 1 - p is too near 0 for the power's derivative to be a number, the loss is its own product
    # to within the smallest number that has all its digits.
    inside = (losses > torch.finfo(losses.dtype).tiny) & (losses < math.inf)
    inner = torch.where(inside, losses, 1.0)
    return torch.where(inside, inner * (-torch.expm1(-inner)) ** focal_gamma, losses)


def _weigh(weight: Tensor, losses: Tensor) -> Tensor:
    """Return the product, in which zero weight on an infinite loss is zero."""
    return weight * losses.masked_fill((weight == 0) & losses.isinf(), 0.0)


def _reduce(losses: Tensor, weight: Tensor, reduction: Reduction, normalizer: float | None, empty: Empty) -> Tensor:
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    if normalizer is not None:
        return total / normalizer
    divisor = weight.sum()
    # Dividing by one and choosing afterwards keeps the gradients zero where nothing counts.
    mean = total / torch.where(divisor == 0, 1.0, divisor)
    return torch.where(divisor == 0, math.nan if empty == "nan" else 0.0, mean)
