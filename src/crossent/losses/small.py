"""Cross entropy of small batches without options, where calling the kernel takes longer than its work.

**Shape.** Logits ``(n, K)`` of n rows and K classes, with class indices ``(n,)``; out comes a scalar.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from crossent.kernels import rows
from crossent.kernels.problem import has_memory
from crossent.losses.native import HAS_KERNELS, SMALL_CALL
from crossent.losses.plain import plain_cross_entropy
from crossent.losses.terms import LossTerms


def is_small(logits: Tensor, target: Tensor) -> bool:
    """Say whether this is a small batch in the usual memory layout."""
    if torch.compiler.is_compiling() or type(logits) is not Tensor or type(target) is not Tensor:
        return False
    if logits.dtype is not torch.float32 or target.dtype is not torch.int64 or logits.ndim != 2 or target.ndim != 1:
        return False
    return (
        0 < logits.numel() <= SMALL_CALL
        and logits.shape[0] == target.shape[0]
        and logits.is_cpu
        and target.is_cpu
        and logits.layout is torch.strided
        and logits.is_contiguous()
        and target.is_contiguous()
        and not logits.is_neg()
        and has_memory(logits)
        and has_memory(target)
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
        and HAS_KERNELS
    )


def small_cross_entropy(logits: Tensor, target: Tensor, ignore_index: int, reduction: str) -> Tensor:
    """Return the ``"mean"`` or ``"sum"`` of the losses.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range.
    """
    loss: Tensor = _SmallCrossEntropy.apply(logits, target, ignore_index, reduction)
    return loss


class _SmallCrossEntropy(torch.autograd.Function):
    """Computes the gradient together with the loss."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, ignore_index: int, reduction: str) -> Tensor:
        ctx.save_for_backward(logits, target)
        ctx.options = ignore_index, reduction
        ctx.gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        normalizer = 0.0 if reduction == "mean" else 1.0
        return rows.small_cross_entropy(logits, target, ignore_index, normalizer, math.nan, ctx.gradient)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return ctx.gradient * grad_output, None, None, None
        # Derivatives of this gradient are asked for.
        logits, target = ctx.saved_tensors
        ignore_index, reduction = ctx.options
        loss = plain_cross_entropy(logits, target, LossTerms(ignore_index=ignore_index, reduction=reduction))
        (gradient,) = torch.autograd.grad(loss, logits, grad_output, create_graph=True)
        return gradient, None, None, None
