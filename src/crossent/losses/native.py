"""Cross entropy by the native row kernels: first derivatives of the logits, on the CPU.

**Shape.** Logits ``(n, K)``, ``(n, K, ...)`` or ``(K,)`` as in `cross_entropy`. The kernels take them as ``(n, K, S)``,
with all further dimensions as one of size S, and give one value for each of the ``n * S`` rows.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from crossent import kernels
from crossent.checks import check_class_mask, check_per_class, check_per_row
from crossent.errors import ShapeError
from crossent.kernels import rows
from crossent.kernels.problem import DTYPES, RowTerms, has_memory, real_dtype
from crossent.losses.operators import losses_by_operator
from crossent.losses.overlap import check_out_is_apart, have_common_range
from crossent.losses.plain import check_counted_indices, class_indices, counted_rows, plain_cross_entropy, reduce_sums
from crossent.losses.terms import LossTerms

# With at most this number of logits, calling a kernel takes longer than its work.
SMALL_CALL = 16_384

# A constant, so that torch.compile need not trace its computation.
HAS_KERNELS = kernels.info().available


def can_run_native(leaves: tuple[Tensor, ...], target: Tensor, terms: LossTerms) -> bool:
    """Say whether the kernels can give this loss and its derivatives by its leaves: the logits, or input and layer."""
    # The focal factor of each class would take a power of each logit: no faster than plain torch.
    is_soft = target.is_floating_point()
    if terms.focal_gamma > 0 and (is_soft or terms.label_smoothing > 0):
        return False
    if not HAS_KERNELS or (is_soft and target.dtype not in DTYPES) or not _is_constant(target):
        return False
    if not all(_is_plain_cpu(leaf) and leaf.dtype in DTYPES and leaf.numel() for leaf in leaves):
        return False
    if any(_is_transformed(leaf) for leaf in leaves):
        return False
    others = (terms.class_weight, terms.sample_weight, terms.log_prior, terms.class_mask)
    return all(tensor is None or _is_constant(tensor) for tensor in others)


def native_cross_entropy(logits: Tensor, target: Tensor, terms: LossTerms) -> Tensor:
    """Return the loss as `crossent.cross_entropy` defines it.

    Raises
    ------
    ShapeError
        If shapes do not fit, or a class index is out of range.
    """
    if torch.compiler.is_compiling():
        row_terms = row_terms_of(logits, target, terms)
        losses = losses_by_operator(_flat(logits), row_terms)
        if terms.reduction == "none":
            return losses.view(_row_shape(logits))
        return reduce_sums(losses.sum(), mean_weights(losses, row_terms).sum(), terms)
    result: Tensor = _NativeCrossEntropy.apply(logits, target, terms)
    return result


def native_cross_entropy_and_grad(
    logits: Tensor, target: Tensor, terms: LossTerms, out: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient of its sum, which is written to `out` if that is given.

    Raises
    ------
    ShapeError
        If shapes do not fit, `out` shares memory with anything other than the logits, or a class index is out of range;
        nothing is written then.
    """
    flat, row_terms = _flat(logits), row_terms_of(logits, target, terms)
    room = None
    if out is not None and _is_plain_cpu(out):
        check_out_is_apart(out, target, terms)
        room = _flat(out) if _can_be_written(out, logits) else None
    gradient = torch.empty_like(flat) if room is None else room
    normalizer, empty = _normalizer(terms), math.nan if terms.empty == "nan" else 0.0
    try:
        result = rows.forward_backward(flat, row_terms, gradient, normalizer, empty)
    except rows.BadTargetError:
        check_counted_indices(target, _num_classes(logits), counted_rows(target, target.shape, terms))
        raise
    loss = result.losses.view(_row_shape(logits)) if terms.reduction == "none" else result.value
    if out is None:
        return loss, gradient.view(logits.shape)
    if gradient.data_ptr() == out.data_ptr():
        # Autograd must know that a tensor has changed that it may have saved.
        torch.autograd.graph.increment_version(out)
        return loss, out
    return loss, out.copy_(gradient.view(out.shape))


def _can_be_written(out: Tensor, logits: Tensor) -> bool:
    """Say whether results may be written while the logits are read: to exactly their memory, or to none of it."""
    is_theirs = out.data_ptr() == logits.data_ptr() and out.stride() == logits.stride()
    return is_theirs or not have_common_range(out, logits)


def _is_plain_cpu(tensor: Tensor) -> bool:
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        return False
    # Compiled code has none of these. The imaginary part of a conjugate is stored with the other sign.
    if torch.compiler.is_compiling():
        return True
    return not tensor.is_neg() and _holds_elements(tensor)


def _holds_elements(tensor: Tensor) -> bool:
    """Say whether the elements of a tensor are in memory; a plain tensor whose storage was freed is an error.

    Torch's own operations may also read beyond the end of such a storage.
    """
    if has_memory(tensor):
        return True
    if tensor._is_zerotensor() or _is_transformed(tensor):
        return False
    raise ShapeError(
        "Tensors hold their elements.",
        f"The storage of one of shape {tuple(tensor.shape)} was freed.",
        "Give it before it is freed, or a copy.",
    )


def _is_constant(tensor: Tensor) -> bool:
    return _is_plain_cpu(tensor) and not (tensor.requires_grad and torch.is_grad_enabled())


def _is_transformed(logits: Tensor) -> bool:
    if torch.compiler.is_compiling():
        return False
    # Subclasses may have other addresses than they say; dual numbers and torch.func need rules of plain operations.
    return (
        type(logits) not in (Tensor, torch.nn.Parameter)
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


class _NativeCrossEntropy(torch.autograd.Function):
    """Saves the logits and a few numbers a row; the gradient is computed from them in the backward pass.

    Small calls compute it at once instead.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, terms: LossTerms) -> Tensor:
        ctx.save_for_backward(logits, target)
        ctx.terms, ctx.gradient = terms, None
        flat, row_terms = _flat(logits), row_terms_of(logits, target, terms)
        normalizer, empty = _normalizer(terms), math.nan if terms.empty == "nan" else 0.0
        at_once = logits.numel() <= SMALL_CALL and terms.reduction != "none" and logits.dtype == real_dtype(logits)
        try:
            if at_once and ctx.needs_input_grad[0]:
                ctx.gradient = torch.empty_like(flat)
                return rows.forward_backward(flat, row_terms, ctx.gradient, normalizer, empty).value
            result = rows.forward(flat, row_terms, normalizer, empty)
        except rows.BadTargetError:
            check_counted_indices(target, _num_classes(logits), counted_rows(target, target.shape, terms))
            raise
        ctx.found, ctx.grad_scale, ctx.row_terms = (result.stats, result.largest), result.grad_scale, row_terms
        return result.losses.view(_row_shape(logits)) if terms.reduction == "none" else result.value

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        logits, target = ctx.saved_tensors
        if torch.is_grad_enabled():
            # Derivatives of this gradient are asked for.
            loss = plain_cross_entropy(logits, target, ctx.terms)
            (gradient,) = torch.autograd.grad(loss, logits, grad_output, create_graph=True)
            return gradient, None, None
        if ctx.gradient is not None:
            gradient = ctx.gradient * grad_output
        elif ctx.terms.reduction == "none":
            grad_rows = row_values(grad_output, real_dtype(logits))
            gradient = rows.backward(_flat(logits), ctx.row_terms, ctx.found, grad_rows, 1.0)
        else:
            grad_scale = ctx.grad_scale * grad_output.item()
            gradient = rows.backward(_flat(logits), ctx.row_terms, ctx.found, None, grad_scale)
        return gradient if logits.ndim < 4 else gradient.view(logits.shape), None, None


def _normalizer(terms: LossTerms) -> float:
    """Return the divisor of the sum of the losses; 0 stands for the sum of the weights."""
    return (terms.normalizer or 0.0) if terms.reduction == "mean" else 1.0


def _flat(values: Tensor) -> Tensor:
    """Return ``(n, K, ...)`` as ``(n, K, S)``, without a copy wherever the strides allow it."""
    return values.flatten(2) if values.ndim > 3 else values


def _num_classes(logits: Tensor) -> int:
    return logits.shape[min(logits.ndim - 1, 1)]


def _row_shape(logits: Tensor) -> torch.Size:
    return logits.shape[:1] + logits.shape[2:] if logits.ndim > 1 else logits.shape[:0]


def row_terms_of(logits: Tensor, target: Tensor, terms: LossTerms) -> RowTerms:
    """Return the terms as the kernels take them.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    """
    real = real_dtype(logits)
    is_index = not target.is_floating_point()
    num_classes = _num_classes(logits)
    mask = terms.class_mask
    if terms.sample_weight is not None:
        check_per_row("sample_weight", terms.sample_weight, _row_shape(logits))
    if mask is not None:
        check_class_mask(mask, logits, num_classes)
    return RowTerms(
        target=row_values(target if target.dtype == torch.int64 else class_indices(target), torch.int64)
        if is_index
        else None,
        distribution=None if is_index else _flat(target),
        possible=None if mask is None else _flat(mask),
        possible_count=None if mask is None or terms.label_smoothing == 0 else _count(mask, logits, real),
        class_weight=_per_class("class_weight", terms.class_weight, num_classes, real),
        sample_weight=None if terms.sample_weight is None else row_values(terms.sample_weight, real),
        log_prior=_per_class("log_prior", terms.log_prior, num_classes, real),
        ignore_index=terms.ignore_index,
        label_smoothing=terms.label_smoothing,
        temperature=terms.temperature,
        softcap=terms.softcap or 0.0,
        z_loss=terms.z_loss,
        focal_gamma=terms.focal_gamma,
        weighted_smoothing=terms.smoothing == "weighted",
    )


def row_values(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return one value for each row, as the kernels take them."""
    # Each of these calls costs as much as the kernel itself on a small batch, even where there is nothing to do.
    if values.dtype == dtype and values.ndim == 1 and values.is_contiguous():
        return values
    return values.to(dtype).reshape(-1).contiguous()


def _per_class(name: str, values: Tensor | None, num_classes: int, real: torch.dtype) -> Tensor | None:
    if values is None:
        return None
    check_per_class(name, values, num_classes)
    return values.to(real).contiguous()


def _count(mask: Tensor, logits: Tensor, real: torch.dtype) -> Tensor:
    """Return the number of possible classes of each row."""
    if mask.ndim == 1:
        return mask.sum().to(real).expand(_row_shape(logits).numel()).contiguous()
    return mask.sum(1).to(real).reshape(-1).contiguous()


def mean_weights(losses: Tensor, terms: RowTerms) -> Tensor:
    """Return the weight of each row in a mean, of the shape and dtype of the losses."""
    weight = torch.ones_like(losses) if terms.sample_weight is None else terms.sample_weight
    if terms.target is None:
        return weight
    counts = (terms.target != terms.ignore_index) & (weight != 0)
    if terms.class_weight is not None:
        weight = weight * terms.class_weight[torch.where(counts, terms.target, 0)]
    return torch.where(counts, weight, 0.0)
