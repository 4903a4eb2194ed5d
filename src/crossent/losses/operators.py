"""The row kernels as operators of torch, which `torch.compile` keeps whole."""

import math
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from crossent.kernels import rows
from crossent.kernels.problem import RowTerms, real_dtype
from crossent.losses.plain import check_counted_indices

_TENSORS = "target distribution possible possible_count class_weight sample_weight log_prior"
_NUMBERS = "label_smoothing temperature softcap z_loss focal_gamma"
# In the order of the fields of RowTerms.
_TERMS = ", ".join(
    [f"Tensor? {name}" for name in _TENSORS.split()]
    + ["SymInt ignore_index"]
    + [f"float {name}" for name in _NUMBERS.split()]
    + ["bool weighted_smoothing"]
)


def losses_by_operator(logits: Tensor, terms: RowTerms) -> Tensor:
    """Return the ``(rows,)`` losses; arguments as in `crossent.kernels.rows.forward`."""
    values = [getattr(terms, field.name) for field in fields(terms)]
    losses: Tensor = torch.ops.crossent.row_losses(logits, *values)[0]
    return losses


# torch keeps compiled code on the disk by the names of its operators: results of another shape need another name.
@torch.library.custom_op(
    "crossent::row_losses",
    mutates_args=(),
    schema=f"(Tensor logits, {_TERMS}) -> (Tensor losses, Tensor stats, Tensor largest)",
)
def _row_losses(logits: Tensor, *values: Any) -> tuple[Tensor, Tensor, Tensor]:
    terms = RowTerms(*values)
    try:
        result = rows.forward(logits, terms, 1.0, math.nan)
    except rows.BadTargetError:
        if terms.target is not None:
            counts = terms.target != terms.ignore_index
            if terms.sample_weight is not None:
                counts &= terms.sample_weight != 0
            check_counted_indices(terms.target, logits.shape[min(logits.ndim - 1, 1)], counts)
        raise
    return result.losses, result.stats, result.largest


@_row_losses.register_fake
def _(logits: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    count = logits.numel() // logits.shape[min(logits.ndim - 1, 1)]
    real = real_dtype(logits)
    return (
        logits.new_empty(count, dtype=real),
        logits.new_empty(4, count, dtype=real),
        logits.new_empty(count, dtype=torch.int64),
    )


@torch.library.custom_op(
    "crossent::row_gradients",
    mutates_args=(),
    schema=f"(Tensor logits, Tensor stats, Tensor largest, Tensor grad_rows, {_TERMS}) -> Tensor",
)
def _row_gradients(logits: Tensor, stats: Tensor, largest: Tensor, grad_rows: Tensor, *values: Any) -> Tensor:
    return rows.backward(logits, RowTerms(*values), (stats, largest), grad_rows, 1.0)


@_row_gradients.register_fake
def _(logits: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(logits)


_TENSOR_COUNT = len(_TENSORS.split())


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, *values = inputs
    _, stats, largest = output
    ctx.save_for_backward(logits, stats, largest, *values[:_TENSOR_COUNT])
    ctx.numbers = values[_TENSOR_COUNT:]


def _carry_back(ctx: Any, grad_losses: Tensor, _stats: Tensor, _largest: Tensor) -> tuple[Any, ...]:
    logits, stats, largest, *tensors = ctx.saved_tensors
    values = (*tensors, *ctx.numbers)
    gradient = torch.ops.crossent.row_gradients(logits, stats, largest, grad_losses.contiguous(), *values)
    return gradient, *([None] * len(values))


_row_losses.register_autograd(_carry_back, setup_context=_save)
