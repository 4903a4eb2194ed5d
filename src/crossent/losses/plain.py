"""Cross entropy in plain torch operations: on any device, under `torch.func`, and with derivatives of any order.

**Shape.** ``n`` rows, ``K`` classes: logits ``(n, K)``, ``(n, K, ...)`` or ``(K,)`` and a target as in `cross_entropy`.
Inside, the classes are the last dimension, as ``(n, ..., K)``, and everything is float32 or wider.

This is the definition, in three steps: the logits are transformed, each row gets its loss, and the losses are reduced
to one number.
"""

import math

import torch
from torch import Tensor

from crossent.checks import check_class_indices, check_class_mask, check_per_class, check_per_row
from crossent.losses.softmax import widen
from crossent.losses.targets import one_hot
from crossent.losses.terms import LossTerms


def plain_cross_entropy(logits: Tensor, target: Tensor, terms: LossTerms) -> Tensor:
    """Return the loss as `crossent.cross_entropy` defines it.

    Raises
    ------
    ShapeError
        If shapes do not fit, or a class index is out of range.
    """
    row_weight = _row_weight(logits, target, terms)
    counts = row_weight != 0
    possible = None if terms.class_mask is None else _possible_classes(terms.class_mask, logits, counts)
    logits = _transform(classes_last(logits), counts, possible, terms)
    target = fill_ignored(target, counts)
    class_weight = terms.class_weight
    if class_weight is not None:
        check_per_class("class_weight", class_weight, logits.shape[-1])
        class_weight = class_weight.to(logits.dtype)
    if target.is_floating_point() or terms.label_smoothing > 0:
        distribution = _weighted_distribution(target, class_weight, logits, possible, terms)
        losses = _distribution_losses(logits, distribution, terms.focal_gamma)
    else:
        losses = _index_losses(logits, target, class_weight, terms.focal_gamma)
    if class_weight is not None and not target.is_floating_point():
        target_weight = class_weight[target]
    else:
        target_weight = torch.ones_like(losses)
    if terms.z_loss > 0:
        losses = losses + _weigh(target_weight, terms.z_loss * logits.logsumexp(-1).square())
    return _reduce(losses * row_weight, target_weight * row_weight, terms)


def classes_last(values: Tensor) -> Tensor:
    """Return a view of ``(n, K, ...)`` as ``(n, ..., K)``."""
    return values.movedim(1, -1) if values.ndim > 2 else values


def _row_weight(logits: Tensor, target: Tensor, terms: LossTerms) -> Tensor:
    """Return the sample weights, or ones, with 0 at the rows that are ignored."""
    shape = classes_last(logits).shape[:-1]
    if terms.sample_weight is not None:
        check_per_row("sample_weight", terms.sample_weight, shape)
    counts = counted_rows(target, shape, terms)
    weight = counts if terms.sample_weight is None else terms.sample_weight
    return torch.where(counts, weight.to(widen(logits).dtype), 0.0)


def _possible_classes(class_mask: Tensor, logits: Tensor, counts: Tensor) -> Tensor:
    """Return the mask with the classes last, and True all over the rows that are ignored."""
    check_class_mask(class_mask, logits, classes_last(logits).shape[-1])
    return classes_last(class_mask) | ~counts.unsqueeze(-1)


def _transform(logits: Tensor, counts: Tensor, possible: Tensor | None, terms: LossTerms) -> Tensor:
    """Return the logits whose softmax is the model's answer: 0 in ignored rows, minus infinity at impossible classes.

    What is not to be read is filled at the start and not at the end: the derivative of a function at NaN is NaN, and
    NaN times the zero gradient that comes back is NaN again.
    """
    read = counts.unsqueeze(-1) if possible is None else counts.unsqueeze(-1) & possible
    logits = torch.where(read, widen(logits), 0.0)
    if terms.softcap is not None:
        logits = terms.softcap * _tanh(logits / terms.softcap)
    if terms.temperature != 1.0:
        logits = logits / terms.temperature
    if terms.log_prior is not None:
        check_per_class("log_prior", terms.log_prior, logits.shape[-1])
        logits = logits + terms.log_prior.to(logits.dtype)
    return logits if possible is None else logits.masked_fill(~possible, -math.inf)


def _tanh(values: Tensor) -> Tensor:
    """Return tanh, with derivatives that are exact to the last digit.

    torch computes 1 - tanh ** 2, which loses digits where tanh is near 1. With s the logistic function, tanh is also
    1 - 2 s(-2 x), and s(-2 x) keeps all digits there, as does its derivative s (1 - s).
    """
    is_negative = values < 0
    share = torch.sigmoid(torch.where(is_negative, 2 * values, -2 * values))
    as_shares = torch.where(is_negative, 2 * share, -2 * share)
    # Its value would lose digits where tanh is near 0, so only its derivative is taken.
    return torch.tanh(values.detach()) + (as_shares - as_shares.detach())


def counted_rows(target: Tensor, shape: torch.Size, terms: LossTerms) -> Tensor:
    """Return where rows, of the given shape, are not ignored."""
    counts = torch.ones(shape, dtype=torch.bool, device=target.device)
    if terms.sample_weight is not None:
        counts = terms.sample_weight != 0
    # As int64, because -100 as an unsigned byte would be class 156.
    return counts if target.is_floating_point() else counts & (class_indices(target) != terms.ignore_index)


def class_indices(target: Tensor) -> Tensor:
    """Return the indices as int64; uint64 indices that need the last bit become the largest int64, out of range."""
    indices = target.long()
    if target.dtype == torch.uint64:
        return torch.where(indices < 0, torch.iinfo(torch.int64).max, indices)
    return indices


def check_counted_indices(target: Tensor, num_classes: int, counts: Tensor) -> None:
    """Check the class index of every row that counts, to explain a kernel's refusal.

    Raises
    ------
    ShapeError
        If one is out of range; it names the first.
    """
    check_class_indices(fill_ignored(target, counts), num_classes)


def fill_ignored(target: Tensor, counts: Tensor) -> Tensor:
    """Return the target with the classes last, and 0 in the rows that are ignored."""
    if target.is_floating_point():
        return torch.where(counts.unsqueeze(-1), classes_last(target), 0.0)
    return torch.where(counts, class_indices(target), 0)


def _weighted_distribution(
    target: Tensor, class_weight: Tensor | None, logits: Tensor, possible: Tensor | None, terms: LossTerms
) -> Tensor:
    """Return the target as a distribution, smoothed over the possible classes, times the class weights."""
    num_classes = logits.shape[-1]
    given = target if target.is_floating_point() else one_hot(target, num_classes, dtype=logits.dtype)
    given = given.to(logits.dtype) * (1 - terms.label_smoothing)
    even: Tensor | float = terms.label_smoothing / num_classes
    if possible is not None:
        even = terms.label_smoothing * possible.to(logits.dtype) / possible.sum(-1, keepdim=True)
    if class_weight is None:
        return given + even
    if terms.smoothing == "unweighted":
        return given * class_weight + even
    return (given + even) * class_weight


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


def _distribution_losses(logits: Tensor, distribution: Tensor, focal_gamma: float) -> Tensor:
    """Return the loss of each row whose target is a distribution, times the class weights."""
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


def _reduce(losses: Tensor, weight: Tensor, terms: LossTerms) -> Tensor:
    if terms.reduction == "none":
        return losses
    return reduce_sums(losses.sum(), weight.sum(), terms)


def reduce_sums(total: Tensor, divisor: Tensor, terms: LossTerms) -> Tensor:
    """Return the sum or the mean of the losses, from their sum and the sum of the weights of the rows that count."""
    if terms.reduction == "sum":
        return total
    if terms.normalizer is not None:
        return total / terms.normalizer
    # Dividing by one and choosing afterwards keeps the gradients zero if no row counts.
    mean = total / torch.where(divisor == 0, 1.0, divisor)
    return torch.where(divisor == 0, math.nan if terms.empty == "nan" else 0.0, mean)
