"""Cross entropy of a linear layer in tiles of rows and classes, by the row kernels and torch's matrix products.

The logits of one tile are computed, turned into their gradient where they lie, and multiplied on to the gradients of
the layer at once: three products in all. Where one row's classes fill the scratch memory, a first sweep over the
classes finds the log-sum-exp of the rows and a second one computes the logits again: four products.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossent.kernels import rows

# Of the logits of a tile; inputs and gradients beside them take at most as much again.
SCRATCH_BYTES = 24 << 20
# Fewer rows make poor matrix products, more leave the caches.
FEWEST_ROWS, MOST_ROWS = 64, 8192


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer and its input.

    Attributes
    ----------
    input
        ``(n, d)``.
    weight
        ``(C, d)``.
    bias
        ``(C,)`` or None.
    """

    input: Tensor
    weight: Tensor
    bias: Tensor | None


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

    terms: rows.RowTerms
    counts: Tensor
    normalizer: float


@dataclass(frozen=True, eq=False)
class LayerGradient:
    """Derivatives of a loss by a layer, of its shapes and dtypes; None where they were not wanted."""

    input: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


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
    real = rows.real_dtype(layer.input)
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
    real = rows.real_dtype(layer.input)
    losses = torch.zeros(len(layer.input), dtype=real)
    scratch = torch.empty(size.rows * size.classes, dtype=real)
    gradient = _zeros(layer, wanted)
    sweep = _all_classes if size.classes == len(layer.weight) else _classes_in_tiles
    for chosen in _row_tiles(row_sum.counts, size.rows):
        part = replace(layer, input=_take(layer.input, chosen).to(real))
        grad_losses = None if grad_rows is None else _take(grad_rows, chosen).contiguous()
        terms = _take_terms(row_sum.terms, chosen)
        tile = _Tile(part, terms, row_sum.normalizer, grad_losses, scratch, size.classes)
        losses[chosen], grad_input = sweep(tile, gradient, wanted)
        if gradient.input is not None and grad_input is not None:
            gradient.input[chosen] = grad_input.to(layer.input.dtype)
    return losses, _as_layer(gradient, layer)


@dataclass(frozen=True, eq=False)
class _Tile:
    """Rows that count, with their input widened, and the scratch memory of their logits."""

    layer: Layer
    terms: rows.RowTerms
    normalizer: float
    grad_rows: Tensor | None
    scratch: Tensor
    classes: int


def _zeros(layer: Layer, wanted: Wanted) -> LayerGradient:
    """Return room for the derivatives; sums over many rows are kept wide where that takes little memory."""
    real = rows.real_dtype(layer.input)
    is_small = layer.weight.numel() * real.itemsize <= SCRATCH_BYTES // 4
    weight_dtype = real if is_small else layer.weight.dtype
    return LayerGradient(
        torch.zeros_like(layer.input) if wanted.input else None,
        torch.zeros_like(layer.weight, dtype=weight_dtype, memory_format=torch.contiguous_format)
        if wanted.weight
        else None,
        torch.zeros(len(layer.weight), dtype=real) if wanted.bias else None,
    )


def _as_layer(gradient: LayerGradient, layer: Layer) -> LayerGradient:
    weight, bias = gradient.weight, gradient.bias
    return LayerGradient(
        gradient.input,
        None if weight is None else weight.to(layer.weight.dtype),
        None if bias is None or layer.bias is None else bias.to(layer.bias.dtype),
    )


def _row_tiles(counts: Tensor, size: int) -> Iterator[Tensor | slice]:
    """Give the rows that count, as slices where all do."""
    if bool(counts.all()):
        yield from (slice(begin, min(begin + size, len(counts))) for begin in range(0, len(counts), size))
    else:
        yield from (part for part in torch.split(counts.nonzero().squeeze(1), size) if len(part))


def _take(values: Tensor, chosen: Tensor | slice) -> Tensor:
    return values[chosen] if isinstance(chosen, slice) else values.index_select(0, chosen)


def _take_terms(terms: rows.RowTerms, chosen: Tensor | slice) -> rows.RowTerms:
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


def _cut_terms(terms: rows.RowTerms, first: int, end: int) -> rows.RowTerms:
    """Return the terms for some of the classes; what is one value a class is cut by the kernels."""
    if terms.distribution is None and terms.possible is None:
        return terms
    return replace(
        terms,
        distribution=None if terms.distribution is None else terms.distribution[:, first:end],
        possible=None if terms.possible is None else terms.possible[..., first:end],
    )


def _all_classes(tile: _Tile, gradient: LayerGradient, wanted: Wanted) -> tuple[Tensor, Tensor | None]:
    """Return the losses of the rows and the gradient of their input, all classes at once."""
    logits = _logits(tile, 0, tile.classes)
    if wanted == Wanted():
        return rows.forward(logits, tile.terms, 1.0, 0.0).losses, None
    losses = rows.forward_backward(logits, tile.terms, logits, tile.normalizer, 0.0, tile.grad_rows).losses
    return losses, _carry_back(logits, 0, tile, gradient, None)


def _classes_in_tiles(tile: _Tile, gradient: LayerGradient, wanted: Wanted) -> tuple[Tensor, Tensor | None]:
    """Return the same, a few classes at a time."""
    num_classes = len(tile.layer.weight)
    known = rows.start_tiles(len(tile.layer.input), num_classes, tile.scratch.dtype)
    spans = [(first, min(first + tile.classes, num_classes)) for first in range(0, num_classes, tile.classes)]
    logits = tile.scratch
    for first, end in spans:
        logits = _logits(tile, first, end)
        rows.forward_tile(logits, first, _cut_terms(tile.terms, first, end), known)
    grad_input = None
    for first, end in reversed(spans) if wanted != Wanted() else ():
        if end < num_classes:  # the last logits are still there
            logits = _logits(tile, first, end)
        terms = _cut_terms(tile.terms, first, end)
        rows.backward_tile(logits, first, terms, known, tile.grad_rows, 1 / tile.normalizer)
        grad_input = _carry_back(logits, first, tile, gradient, grad_input)
    return known.losses, grad_input


def _logits(tile: _Tile, first: int, end: int) -> Tensor:
    """Compute the logits of some classes in the scratch memory."""
    layer, real = tile.layer, tile.scratch.dtype
    out = tile.scratch[: len(layer.input) * (end - first)].view(-1, end - first)
    weight = layer.weight[first:end].to(real).t()
    if layer.bias is None:
        return torch.mm(layer.input, weight, out=out)
    return torch.addmm(layer.bias[first:end].to(real), layer.input, weight, out=out)


def _carry_back(
    grad_logits: Tensor, first: int, tile: _Tile, gradient: LayerGradient, grad_input: Tensor | None
) -> Tensor | None:
    """Add what some classes give to the derivatives; return that of the input."""
    end = first + grad_logits.shape[1]
    if gradient.weight is not None:
        sums = gradient.weight[first:end]
        if sums.dtype == grad_logits.dtype:
            sums.addmm_(grad_logits.t(), tile.layer.input)
        else:
            sums += grad_logits.t() @ tile.layer.input
    if gradient.bias is not None:
        gradient.bias[first:end] += grad_logits.sum(0)
    if gradient.input is None:
        return None
    weight = tile.layer.weight[first:end].to(grad_logits.dtype)
    return grad_logits @ weight if grad_input is None else grad_input.addmm_(grad_logits, weight)
