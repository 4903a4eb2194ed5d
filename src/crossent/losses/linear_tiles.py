"""Cross entropy of a linear layer in tiles of rows and classes, by the row kernels and the matrix products.

**Shape.** ``n`` rows, ``d`` features, ``C`` classes: input ``(n, d)``, weight ``(C, d)``, bias ``(C,)``; out come
losses ``(n,)`` and derivatives of the shapes of input, weight and bias. A tile is ``(rows, classes)`` of the logits
``(n, C)``.

The logits of a tile are computed, overwritten by their gradient, and multiplied into the gradients of the layer at
once: three products in all. If the classes of a few rows fill the scratch memory, a first pass over the classes
computes the log-sum-exp of the rows and a second one computes the logits again: four products. Tiles end where the
kernels begin a new partial sum, so that another size of tiles does not change the bits.

The gradient at an index target, usually far larger than at all other classes, is left out of the products and added
last: in a sum with many small terms it would take their digits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossent.kernels import linear, products, rows
from crossent.kernels.linear import Layer, LayerGradient
from crossent.kernels.problem import RowTerms, real_dtype

# Bytes of the logits of a tile; inputs and gradients beside them take at most as much again.
SCRATCH_BYTES = 32 << 20
MOST_ROWS = 8192
# Gradients of weights in half precision are summed in float32 up to this number of bytes; larger ones are rounded after
# this number of rows.
MOST_WIDE_BYTES = 8 << 20
ROWS_OF_ROUNDING = 1024


@dataclass(frozen=True, eq=False)
class RowSum:
    """What the loss depends on, besides the logits.

    Attributes
    ----------
    terms
        The options for all rows.
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
    """Choose the size of tiles by the shape: whole blocks of sums, and all classes at once if they fit."""
    (n, d), num_classes = layer.input.shape, len(layer.weight)
    room = SCRATCH_BYTES // real_dtype(layer.input).itemsize
    most_rows = _whole(min(MOST_ROWS, n + products.SUM_BLOCK - 1, room // (4 * max(d, 1))), products.SUM_BLOCK)
    if not _is_kept_wide(layer):
        count = ROWS_OF_ROUNDING
    elif room // num_classes >= products.SUM_BLOCK:
        count = min(most_rows, _whole(room // num_classes, products.SUM_BLOCK))
    else:
        count = most_rows
    classes = room // count
    return TileSize(count, num_classes if classes >= num_classes else _whole(classes, rows.CLASS_BLOCK))


def _whole(count: int, block: int) -> int:
    """Return the largest whole number of blocks up to a count, but at least one block."""
    return max(1, count // block) * block


def _is_kept_wide(layer: Layer) -> bool:
    """Say whether sums of the weight's gradient are in the dtype that is computed in, if there are any."""
    real = real_dtype(layer.input)
    return layer.weight.dtype == real or layer.weight.numel() * real.itemsize <= MOST_WIDE_BYTES


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
    size, all_count = tile_size(layer), bool(row_sum.counts.all())
    losses = torch.zeros(len(layer.input), dtype=real_dtype(layer.input))
    at_targets = torch.zeros_like(losses)
    is_fused = len(layer.weight) <= linear.MOST_CLASSES and layer.input.dtype == losses.dtype
    if is_fused:
        size = TileSize(len(losses) if all_count else size.rows, 0)
    sweep = _in_one_pass if is_fused else _in_tiles_of_classes
    scratch = losses.new_empty(min(size.rows, len(losses)) * size.classes)
    gradient = _room_for_gradient(layer, wanted, all_count)
    for chosen in _slices(len(losses), size.rows) if all_count else _chosen_rows(row_sum.counts, size.rows):
        tile = _tile_of(layer, row_sum, grad_rows, gradient, chosen, scratch, size.classes)
        losses[chosen] = sweep(tile)
        at_targets[chosen] = tile.at_target
        _put_input(tile.gradient.input, gradient.input, chosen)
    if row_sum.terms.target is not None and gradient.weight is not None and _is_kept_wide(layer):
        products.scatter(layer.input, at_targets, row_sum.terms.target, gradient.weight)
    return losses, _as_layer(gradient, layer)


def _tile_of(
    layer: Layer,
    row_sum: RowSum,
    grad_rows: Tensor | None,
    gradient: LayerGradient,
    chosen: Tensor | slice,
    scratch: Tensor,
    classes: int,
) -> "_Tile":
    """Return the tile of some rows."""
    part, real = replace(layer, input=_take(layer.input, chosen)), scratch.dtype
    of_input = None if gradient.input is None else _room_for_input(gradient.input, chosen, real)
    return _Tile(
        part,
        _take_terms(row_sum.terms, chosen),
        row_sum.normalizer,
        None if grad_rows is None else _take(grad_rows, chosen).contiguous(),
        scratch,
        classes,
        replace(gradient, input=of_input),
        scratch.new_zeros(len(part.input)),
    )


@dataclass(frozen=True, eq=False)
class _Tile:
    """Rows that count.

    Attributes
    ----------
    scratch
        Room for the logits.
    classes
        How many of them at a time.
    gradient
        Room for the derivatives: by the input of these rows to be written, by the rest to be added to.
    at_target
        ``(rows,)`` derivatives by the logits of the targets, as far as they are not in that by the weight.
    """

    layer: Layer
    terms: RowTerms
    normalizer: float
    grad_rows: Tensor | None
    scratch: Tensor
    classes: int
    gradient: LayerGradient
    at_target: Tensor


def _room_for_gradient(layer: Layer, wanted: Wanted, all_count: bool) -> LayerGradient:
    """Return zeros; sums over many rows are float32 or wider, or in half precision if these would take much memory."""
    real = real_dtype(layer.input)
    shape, weight_dtype = layer.weight.shape, real if _is_kept_wide(layer) else layer.weight.dtype
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


def _put_input(part: Tensor | None, whole: Tensor | None, chosen: Tensor | slice) -> None:
    """Put the derivatives by the input of some rows in their place, unless they were computed there."""
    if part is None or whole is None or part.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr():
        return
    whole[chosen] = part.to(whole.dtype)


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


def _in_one_pass(tile: _Tile) -> Tensor:
    """Return the losses of the rows, and fill their gradients, by the kernel for few classes."""
    layer = tile.layer
    contiguous = Layer(
        layer.input.contiguous(),
        layer.weight.contiguous(),
        None if layer.bias is None else layer.bias.to(layer.input.dtype).contiguous(),
    )
    return linear.linear_losses(contiguous, tile.terms, tile.normalizer, tile.grad_rows, tile.gradient)


def _in_tiles_of_classes(tile: _Tile) -> Tensor:
    """Return the same, with as many classes at a time as fit into the scratch memory."""
    num_classes = len(tile.layer.weight)
    known = rows.start_tiles(len(tile.layer.input), num_classes, tile.scratch.dtype)
    spans = [(span.start, span.stop) for span in _slices(num_classes, tile.classes)]
    logits = tile.scratch
    for first, end in spans:
        logits = _logits(tile, first, end)
        rows.forward_tile(logits, first, _cut_terms(tile.terms, first, end), known)
    if _is_empty(tile.gradient):
        return known.losses
    for first, end in spans:
        if len(spans) > 1:
            logits = _logits(tile, first, end)
        terms = _cut_terms(tile.terms, first, end)
        rows.backward_tile(logits, first, terms, known, tile.grad_rows, 1 / tile.normalizer)
        _carry_back(logits, first, tile, is_first=first == 0)
    _add_targets_to_input(tile)
    return known.losses


def _take_out_targets(grad_logits: Tensor, first: int, tile: _Tile) -> None:
    """Move the derivatives at the targets among some classes to their room, and leave zeros."""
    if tile.terms.target is None or not _is_kept_wide(tile.layer):
        return
    column = tile.terms.target - first
    here = ((column >= 0) & (column < grad_logits.shape[1])).nonzero().squeeze(1)
    place = here, column[here]
    tile.at_target[here] = grad_logits[place]
    grad_logits[place] = 0


def _add_targets_to_input(tile: _Tile) -> None:
    if tile.terms.target is None or not _is_kept_wide(tile.layer) or tile.gradient.input is None:
        return
    of_targets = tile.layer.weight.index_select(0, tile.terms.target).to(tile.at_target.dtype)
    tile.gradient.input.addcmul_(of_targets, tile.at_target.unsqueeze(1))


def _is_empty(gradient: LayerGradient) -> bool:
    return gradient.input is None and gradient.weight is None and gradient.bias is None


def _logits(tile: _Tile, first: int, end: int) -> Tensor:
    """Compute the logits of some classes in the scratch memory."""
    layer = tile.layer
    out = tile.scratch[: len(layer.input) * (end - first)].view(-1, end - first)
    bias = None if layer.bias is None else layer.bias[first:end].to(out.dtype).contiguous()
    products.multiply(layer.input, layer.weight[first:end].t(), out, bias=bias)
    return out


def _carry_back(grad_logits: Tensor, first: int, tile: _Tile, *, is_first: bool) -> None:
    """Add what some classes give to the derivatives."""
    end, gradient = first + grad_logits.shape[1], tile.gradient
    if gradient.bias is not None:
        products.add_column_sums(grad_logits, gradient.bias[first:end])
    _take_out_targets(grad_logits, first, tile)
    if gradient.weight is not None:
        sums = gradient.weight[first:end]
        wide = sums if sums.dtype == grad_logits.dtype else sums.to(grad_logits.dtype)
        products.add_product(grad_logits.t(), tile.layer.input, wide)
        if wide is not sums:
            sums.copy_(wide)
    if gradient.input is not None:
        # The first result overwrites whatever is in its memory.
        put = products.multiply if is_first else products.add_product
        put(grad_logits, tile.layer.weight[first:end], gradient.input)
