"""Cross entropy of a linear layer, without its logits.

**Shape.** ``n`` rows, ``d`` features, ``C`` classes: an input ``(..., d)``, a weight ``(C, d)`` and a bias ``(C,)``,
whose logits ``(..., C)`` are never all in memory; out comes a scalar, or one value for each row.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from crossent.checks import check_leading, check_linear, check_target, check_tensor
from crossent.kernels import rows
from crossent.kernels.linear import Layer
from crossent.kernels.problem import RowTerms, real_dtype
from crossent.losses.linear_tiles import RowSum, Wanted, losses_in_tiles
from crossent.losses.native import can_run_native, mean_weights, native_cross_entropy, row_terms_of, row_values
from crossent.losses.plain import check_counted_indices, counted_rows, plain_cross_entropy, reduce_sums
from crossent.losses.softmax import widen
from crossent.losses.terms import Empty, LossTerms, Reduction, Smoothing
from crossent.losses.torch_names import ClassValues, as_class_values, class_weight_of


def linear_cross_entropy(  # noqa: PLR0913 - all that cross_entropy takes
    input: Tensor,  # noqa: A002 - torch's name
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: ClassValues | None = None,
    class_weight: ClassValues | None = None,
    ignore_index: int | None = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    sample_weight: Tensor | None = None,
    temperature: float = 1.0,
    log_prior: ClassValues | None = None,
    z_loss: float = 0.0,
    softcap: float | None = None,
    focal_gamma: float = 0.0,
    class_mask: Tensor | None = None,
    normalizer: float | None = None,
    empty: Empty = "nan",
    smoothing: Smoothing = "weighted",
) -> Tensor:
    """Cross entropy of the logits ``input @ linear_weight.T + linear_bias``, which are never all in memory.

    The arguments are those of `torch.nn.functional.linear_cross_entropy`, which torch has from 2.13 on, and more; its
    `options`, which say how torch saves memory, are not needed. The loss is the same as `crossent.cross_entropy` of
    these logits, for layers of up to millions of classes: for any shape, the computation takes about 64 MB besides the
    gradients themselves. Rows that are ignored are left out of the matrix products. Half precision is computed in
    float32, also the logits.

    On devices other than the CPU, under `torch.func` and `torch.compile`, and for second derivatives, all logits are
    computed at once.

    Parameters
    ----------
    input
        ``(n, d)``, ``(..., d)`` or ``(d,)``, of any floating dtype.
    linear_weight
        ``(C, d)`` weight of the layer, of the dtype of the input.
    target
        Class indices of the input's shape without d, or distributions of that shape and C at its end.
    linear_bias
        ``(C,)`` bias of the layer.
    weight, class_weight, ignore_index, reduction, label_smoothing
        As in `crossent.cross_entropy`: `weight` is that of the classes. None as `ignore_index` stands for -100.
    sample_weight
        Weight of each row, of the shape of the class indices.
    class_mask
        True where a class is possible: ``(C,)``, or the shape of the class indices and C at its end.
    temperature, log_prior, z_loss, softcap, focal_gamma, normalizer, empty, smoothing
        As in `crossent.cross_entropy`.

    Returns
    -------
    Tensor
        A scalar, or one value for each row; float32 or wider for any dtype of the input.

    Raises
    ------
    ShapeError
        If shapes or dtypes do not fit, or a class index is out of range.
    SettingError
        If an option is out of bounds.

    Examples
    --------
    >>> import torch
    >>> hidden, layer = torch.eye(2), torch.tensor([[20.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> linear_cross_entropy(hidden, layer, torch.tensor([0, 2]), reduction="none")
    tensor([4.1223e-09, 8.6199e-01])
    """
    check_linear(input, linear_weight, linear_bias)
    leading, num_classes = input.shape[:-1], len(linear_weight)
    flat_input, flat_target = input.reshape(-1, input.shape[-1]), _flat_rows("target", target, leading)
    check_target(_like_logits(flat_input, num_classes), flat_target)
    if class_mask is not None:
        check_tensor("class_mask", class_mask)
        if class_mask.shape != (num_classes,):
            class_mask = _flat_rows("class_mask", class_mask, leading)
    terms = LossTerms(
        class_weight=class_weight_of(weight, class_weight, input),
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
        sample_weight=None if sample_weight is None else _flat_rows("sample_weight", sample_weight, leading),
        temperature=temperature,
        log_prior=as_class_values("log_prior", log_prior, input),
        z_loss=z_loss,
        softcap=softcap,
        focal_gamma=focal_gamma,
        class_mask=class_mask,
        normalizer=normalizer,
        empty=empty,
        smoothing=smoothing,
    )
    loss = _flat_loss(flat_input, linear_weight, linear_bias, flat_target, terms)
    return loss.view(leading) if reduction == "none" else loss


def _flat_rows(name: str, values: Tensor, leading: torch.Size) -> Tensor:
    """Return ``(..., m)`` or ``(...)`` as ``(n, m)`` or ``(n,)``."""
    check_leading(name, values, leading)
    return values.reshape(leading.numel(), *values.shape[len(leading) :])


def _like_logits(inputs: Tensor, num_classes: int) -> Tensor:
    """Return a tensor of the shape and dtype of the logits that takes no memory."""
    return widen(inputs.detach().new_empty(())).expand(len(inputs), num_classes)


def _flat_loss(inputs: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, terms: LossTerms) -> Tensor:
    layer = (inputs, weight) if bias is None else (inputs, weight, bias)
    if can_run_native(layer, target, terms) and not torch.compiler.is_compiling():
        loss: Tensor = _TiledCrossEntropy.apply(inputs, weight, bias, target, terms)
        return loss
    logits = _logits(inputs, weight, bias, target, terms)
    if can_run_native((logits,), target, terms):
        return native_cross_entropy(logits, target, terms)
    return plain_cross_entropy(logits, target, terms)


def _logits(inputs: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, terms: LossTerms) -> Tensor:
    """Return all logits, those of ignored rows without reading their input."""
    counts = counted_rows(target, inputs.shape[:1], terms)
    counted = torch.where(counts.unsqueeze(-1), widen(inputs), 0.0)
    return functional.linear(counted, weight.to(counted.dtype), None if bias is None else bias.to(counted.dtype))


class _TiledCrossEntropy(torch.autograd.Function):
    """Computes the gradients together with the loss, from the logits of each tile, if the loss is a single number."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, terms: LossTerms
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight, bias, target)
        ctx.terms, ctx.gradient = terms, None
        wanted = Wanted(*ctx.needs_input_grad[:3]) if terms.reduction != "none" else Wanted()
        losses = torch.empty(len(inputs), dtype=real_dtype(inputs))
        row_terms = row_terms_of(_like_logits(inputs, len(weight)), target, terms)
        try:
            divisor = _sum_in_order(mean_weights(losses, row_terms))
            counts = counted_rows(target, losses.shape, terms)
            ctx.row_sum = _row_sum(counts, divisor, terms, row_terms)
            losses, ctx.gradient = losses_in_tiles(Layer(inputs, weight, bias), ctx.row_sum, None, wanted)
        except (rows.BadTargetError, IndexError):
            check_counted_indices(target, len(weight), counted_rows(target, losses.shape, terms))
            raise
        if terms.reduction == "none":
            return losses
        return reduce_sums(_sum_in_order(losses), divisor, terms).to(losses.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, bias, target = ctx.saved_tensors
        layer = Layer(inputs, weight, bias)
        if torch.is_grad_enabled():
            # Derivatives of these gradients are asked for.
            return (*_differentiable(layer, target, ctx.terms, grad_output, ctx.needs_input_grad), None, None)
        # They are passed on and not stored, so that the gradient of the parameter need not be a copy.
        gradient, ctx.gradient = ctx.gradient, None
        of_rows = row_values(grad_output, real_dtype(inputs)) if ctx.terms.reduction == "none" else None
        if gradient is None or of_rows is not None:
            _, gradient = losses_in_tiles(layer, ctx.row_sum, of_rows, Wanted(*ctx.needs_input_grad[:3]))
        scale = 1.0 if of_rows is not None else grad_output.item()
        parts = (gradient.input, gradient.weight, gradient.bias)
        return (*(part if part is None or scale == 1 else part.mul_(scale) for part in parts), None, None)


def _sum_in_order(values: Tensor) -> Tensor:
    """Return the float64 sum; in torch's sum the order depends on the number of threads."""
    return torch.tensor(values.detach().numpy().sum(dtype=np.float64))


def _row_sum(counts: Tensor, divisor: Tensor, terms: LossTerms, row_terms: RowTerms) -> RowSum:
    normalizer = 1.0
    if terms.reduction == "mean":
        normalizer = terms.normalizer or divisor.item()
    if normalizer == 0:
        return RowSum(row_terms, torch.zeros_like(counts), 1.0)
    return RowSum(row_terms, counts, normalizer)


def _differentiable(
    layer: Layer, target: Tensor, terms: LossTerms, grad_output: Tensor, needed: tuple[bool, ...]
) -> list[Tensor | None]:
    """Return the gradients by plain operations, which have derivatives of their own."""
    loss = plain_cross_entropy(_logits(layer.input, layer.weight, layer.bias, target, terms), target, terms)
    parts = (layer.input, layer.weight, layer.bias)
    leaves = [part for part, needs in zip(parts, needed, strict=False) if part is not None and needs]
    gradients = iter(torch.autograd.grad(loss, leaves, grad_output, create_graph=True))
    return [next(gradients) if part is not None and needs else None for part, needs in zip(parts, needed, strict=False)]
