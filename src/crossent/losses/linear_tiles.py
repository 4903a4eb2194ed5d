"""Cross entropy of a linear layer in tiles of rows and classes, by the row kernels and torch's matrix products.

The logits of one tile are computed, turned into their gradient where they lie, and multiplied on to the gradients of
the layer at once: three products in all. Where one row's classes fill the scratch memory, a first sweep over the
classes finds the log-sum-exp of the rows and a second one computes the logits again: four products.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossent.kernels import linear, rows
from crossent.kernels.linear import Layer, LayerGradient
from crossent.kernels.problem import RowTerms, real_dtype

# Of the logits of a tile; inputs and gradients beside them take at most as much again.
SCRATCH_BYTES = 24 << 20
# Fewer rows make poor matrix products, more leave the caches.
FEWEST_ROWS, MOST_ROWS = 64, 8192


@dataclass(frozen=True, eq=False)
class RowSum:
    """What the loss is made of, besides the logits.

    Attributes
    ----------
    terms
        Of all rows.
    counts
        ``(n,)`` bool; the other rows are never read.
    normalizer
        Divides the sum of the losses; not 0.
    """

    terms: RowTerms
    counts: Tensor
    normalizer: float


@dataclass(frozen=True)
class Wanted:
    """Which derivatives to compute."""

    input: bool = False
    weight: bool = False
    bias: bool = False


@dataclass(frozen=True)
class TileSize:
    """Rows and classes of one tile of logits."""

    rows: int
    classes: int


def tile_size(layer: Layer) -> TileSize:
    """Choose tiles by the shape alone, so that the number of threads does not change a result."""
    (n, d), num_classes = layer.input.shape, layer.weight.shape[0]
    real = real_dtype(layer.input)
    room = SCRATCH_BYTES // real.itemsize
    most_rows = max(1, min(n, MOST_ROWS, room // (4 * d)))
    # Weights in half precision are widened a tile at a time.
    most_classes = num_classes if layer.weight.dtype == real else min(num_classes, max(1, room // (4 * d)))
    whole = room // num_classes
    if most_classes == num_classes and whole >= min(most_rows, FEWEST_ROWS):
        return TileSize(min(most_rows, whole), num_classes)
    return TileSize(most_rows, min(most_classes, max(1, room // most_rows)))


def losses_in_tiles(
    layer: Layer, row_sum: RowSum, grad_rows: Tensor | None, wanted: Wanted
) -> tuple[Tensor, LayerGradient]:
    """Return the loss of each row, and the derivatives of their sum divided by the normalizer.

    Parameters
    ----------
    layer
        On the CPU, of the dtypes of the row kernels.
    row_sum
        Its losses.
    grad_rows
        ``(n,)`` Real weights of the losses in the sum, or None for ones.
    wanted
        The derivatives to compute.

    Returns
    -------
    tuple
        ``(n,)`` Real losses, times the sample weights; and the derivatives.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range.
    """
    size = tile_size(layer)
    all_count = bool(row_sum.counts.all())
    losses = torch.zeros(len(layer.input), dtype=real_dtype(layer.input))
    scratch = losses.new_empty(0 if _is_fused(layer) else size.rows * size.classes)
    gradient = _room_for_gradient(layer, wanted, all_count)
    sweep = _sweep_for(layer, size)
    if all_count and sweep is _in_one_pass:
        size = replace(size, rows=len(losses))
    for chosen in _slices(len(losses), size.rows) if all_count else _chosen_rows(row_sum.counts, size.rows):
        part = replace(layer, input=_take(layer.input, chosen).to(losses.dtype))
        grad_losses = None if grad_rows is None else _take(grad_rows, chosen).contiguous()
        grad_input = None if gradient.input is None else _room_for_input(gradient.input, chosen, losses.dtype)
        found = replace(gradient, input=grad_input)
        terms = _take_terms(row_sum.terms, chosen)
        losses[chosen] = sweep(_Tile(part, terms, row_sum.normalizer, grad_losses, scratch, size.classes, found))
        if gradient.input is not None and grad_input is not None and not _shares_memory(grad_input, gradient.input):
            gradient.input[chosen] = grad_input.to(layer.input.dtype)
    return losses, _as_layer(gradient, layer)


@dataclass(frozen=True, eq=False)
class _Tile:
    """Rows that count, with their input widened.

    Attributes
    ----------
    scratch
        Room for the logits.
    classes
        How many of them at a time.
    gradient
        Room for the derivatives: by the input of these rows to be written, by the rest to be added to.
    """

    layer: Layer
    terms: RowTerms
    normalizer: float
    grad_rows: Tensor | None
    scratch: Tensor
    classes: int
    gradient: LayerGradient


def _room_for_gradient(layer: Layer, wanted: Wanted, all_count: bool) -> LayerGradient:
    """Return zeros; sums over many rows are kept wide where that takes little memory."""
    real = real_dtype(layer.input)
    is_small = layer.weight.numel() * real.itemsize <= SCRATCH_BYTES // 4
    shape, weight_dtype = layer.weight.shape, real if is_small else layer.weight.dtype
    make = torch.empty if all_count else torch.zeros
    return LayerGradient(
        make(layer.input.shape, dtype=layer.input.dtype) if wanted.input else None,
        torch.zeros(shape, dtype=weight_dtype) if wanted.weight else None,
        torch.zeros(len(layer.weight), dtype=real) if wanted.bias else None,
    )


def _room_for_input(grad_input: Tensor, chosen: Tensor | slice, real: torch.dtype) -> Tensor:
    """Return where the gradient of some rows' input is to be computed: in its place if that is possible."""
    if isinstance(chosen, slice) and grad_input.dtype == real:
        return grad_input[chosen]
    return grad_input.new_empty(len(_take(grad_input, chosen)), grad_input.shape[1], dtype=real)


def _shares_memory(part: Tensor, whole: Tensor) -> bool:
    return part.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()


def _as_layer(gradient: LayerGradient, layer: Layer) -> LayerGradient:
    weight, bias = gradient.weight, gradient.bias
    return LayerGradient(
        gradient.input,
        None if weight is None else weight.to(layer.weight.dtype),
        None if bias is None or layer.bias is None else bias.to(layer.bias.dtype),
    )


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))


def _chosen_rows(counts: Tensor, size: int) -> Iterator[Tensor]:
    return (part for part in torch.split(counts.nonzero().squeeze(1), size) if len(part))


def _take(values: Tensor, chosen: Tensor | slice) -> Tensor:
    return values[chosen] if isinstance(chosen, slice) else values.index_select(0, chosen)


def _take_terms(terms: RowTerms, chosen: Tensor | slice) -> RowTerms:
    def take(values: Tensor | None) -> Tensor | None:
        return None if values is None else _take(values, chosen)

    possible = terms.possible
    return replace(
        terms,
        target=take(terms.target),
        distribution=take(terms.distribution),
        possible=possible if possible is None or possible.ndim == 1 else take(possible),
        possible_count=take(terms.possible_count),
        sample_weight=take(terms.sample_weight),
    )


def _cut_terms(terms: RowTerms, first: int, end: int) -> RowTerms:
    """Return the terms for some of the classes; what is one value a class is cut by the kernels."""
    if terms.distribution is None and terms.possible is None:
        return terms
    return replace(
        terms,
        distribution=None if terms.distribution is None else terms.distribution[:, first:end],
        possible=None if terms.possible is None else terms.possible[..., first:end],
    )


def _is_fused(layer: Layer) -> bool:
    return len(layer.weight) <= linear.MOST_CLASSES and real_dtype(layer.input) == layer.input.dtype


def _sweep_for(layer: Layer, size: TileSize) -> Callable[[_Tile], Tensor]:
    if _is_fused(layer):
        return _in_one_pass
    return _all_classes if size.classes == len(layer.weight) else _classes_in_tiles


def _in_one_pass(tile: _Tile) -> Tensor:
    """Return the losses of the rows, and fill their gradients, by the kernel for few classes."""
    layer = tile.layer
    contiguous = Layer(
        layer.input.contiguous(),
        layer.weight.contiguous(),
        None if layer.bias is None else layer.bias.to(layer.input.dtype).contiguous(),
    )
    return linear.linear_losses(contiguous, tile.terms, tile.normalizer, tile.grad_rows, tile.gradient)


def _all_classes(tile: _Tile) -> Tensor:
    """Return the same, by one matrix product for the logits of all classes and one for each gradient."""
    logits = _logits(tile, 0, tile.classes)
    if _is_empty(tile.gradient):
        return rows.forward(logits, tile.terms, 1.0, 0.0).losses
    losses = rows.forward_backward(logits, tile.terms, logits, tile.normalizer, 0.0, tile.grad_rows).losses
    _carry_back(logits, 0, tile, is_first=True)
    return losses


def _classes_in_tiles(tile: _Tile) -> Tensor:
    """Return the same, a few classes at a time."""
    num_classes = len(tile.layer.weight)
    known = rows.start_tiles(len(tile.layer.input), num_classes, tile.scratch.dtype)
    spans = [(span.start, span.stop) for span in _slices(num_classes, tile.classes)]
    logits = tile.scratch
    for first, end in spans:
        logits = _logits(tile, first, end)
        rows.forward_tile(logits, first, _cut_terms(tile.terms, first, end), known)
    if _is_empty(tile.gradient):
        return known.losses
    for first, end in reversed(spans):
        if end < num_classes:  # the last logits are still there
            logits = _logits(tile, first, end)
        terms = _cut_terms(tile.terms, first, end)
        rows.backward_tile(logits, first, terms, known, tile.grad_rows, 1 / tile.normalizer)
        _carry_back(logits, first, tile, is_first=end == num_classes)
    return known.losses


def _is_empty(gradient: LayerGradient) -> bool:
    return gradient.input is None and gradient.weight is None and gradient.bias is None


def _logits(tile: _Tile, first: int, end: int) -> Tensor:
    """Compute the logits of some classes in the scratch memory."""
    layer, real = tile.layer, tile.scratch.dtype
    out = tile.scratch[: len(layer.input) * (end - first)].view(-1, end - first)
    weight = layer.weight[first:end].to(real).t()
    if layer.bias is None:
        return torch.mm(layer.input, weight, out=out)
    return torch.addmm(layer.bias[first:end].to(real), layer.input, weight, out=out)


def _carry_back(grad_logits: Tensor, first: int, tile: _Tile, *, is_first: bool) -> None:
    """Add what some classes give to the derivatives."""
    end, gradient = first + grad_logits.shape[1], tile.gradient
    if gradient.weight is not None:
        sums = gradient.weight[first:end]
        if sums.dtype == grad_logits.dtype:
            sums.addmm_(grad_logits.t(), tile.layer.input)
        else:
            sums += grad_logits.t() @ tile.layer.input
    if gradient.bias is not None:
        gradient.bias[first:end] += grad_logits.sum(0)
    if gradient.input is not None:
        weight = tile.layer.weight[first:end].to(grad_logits.dtype)
        # What was in its room before is nothing yet, and may be NaN.
        gradient.input.addmm_(grad_logits, weight, beta=0 if is_first else 1)
