"""The row kernels as operators of torch, which `torch.compile` keeps whole.

**Shape.** Logits ``(n, K, S)`` or ``(n, K)``, which have ``N = n * S`` rows; out come the losses ``(N,)``, four numbers
for each row, ``(4, N)``, and the index of the largest logit of each row, ``(N,)``. The gradient, of the logits' shape,
is computed from these.
"""

import math
from dataclasses import fields
from typing import Any, get_type_hints

import torch
from torch import Tensor

from crossent.kernels import rows
from crossent.kernels.problem import RowTerms, real_dtype
from crossent.losses.plain import check_counted_indices

# An operator of torch takes its options by position. Their names, their types and their order come from the fields of
# RowTerms and from nowhere else.
_TYPES = {Tensor | None: "Tensor?", int: "SymInt", float: "float", bool: "bool"}
_HINTS = get_type_hints(RowTerms)
_NAMES = [field.name for field in fields(RowTerms)]
_TERMS = ", ".join(f"{_TYPES[_HINTS[name]]} {name}" for name in _NAMES)


def _terms_of(values: tuple[Any, ...]) -> RowTerms:
    return RowTerms(**dict(zip(_NAMES, values, strict=True)))


def losses_by_operator(logits: Tensor, terms: RowTerms) -> Tensor:
    """Return the ``(rows,)`` losses; arguments as in `crossent.kernels.rows.forward`."""
    values = [getattr(terms, name) for name in _NAMES]
    losses: Tensor = torch.ops.crossent.row_losses(logits, *values)[0]
    return losses


# torch keeps compiled code on the disk by the names of its operators: results of another shape need another name.
@torch.library.custom_op(
    "crossent::row_losses",
    mutates_args=(),
    schema=f"(Tensor logits, {_TERMS}) -> (Tensor losses, Tensor stats, Tensor largest)",
)
def _row_losses(logits: Tensor, *values: Any) -> tuple[Tensor, Tensor, Tensor]:
    terms = _terms_of(values)
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
    return rows.backward(logits, _terms_of(values), (stats, largest), grad_rows, 1.0)


@_row_gradients.register_fake
def _(logits: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(logits)


# RowTerms names its tensors before its numbers.
_TENSOR_COUNT = sum(_HINTS[name] == Tensor | None for name in _NAMES)


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
