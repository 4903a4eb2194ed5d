"""The row kernels: loss and gradient of (rows, K) logits where they lie, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossent.kernels.library import info, open_library
from crossent.kernels.problem import RowProblem, RowTerms, address, num_classes_of, real_dtype, row_problem

# Tiles whose number of classes is a multiple of this do not change the bits, for every instruction set.
CLASS_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class RowResult:
    """The results of the forward kernel.

    Attributes
    ----------
    value
        Scalar Real: the sum of the losses, divided by the normalizer.
    losses
        ``(rows,)`` Real losses, times the sample weights.
    stats, largest
        ``(4, rows)`` Real and ``(rows,)`` int64: what the backward kernel needs.
    grad_scale
        Derivative of the value by each loss.
    """

    value: Tensor
    losses: Tensor
    stats: Tensor
    largest: Tensor
    grad_scale: float


@dataclass(frozen=True, eq=False)
class ClassTiles:
    """The state of rows whose logits come in tiles of a few classes, with a call for each tile.

    Attributes
    ----------
    total_classes
        K, of all tiles together.
    states
        ``(rows, 8)`` float64, passed on from tile to tile.
    losses, stats, largest
        As in `RowResult`, written with the last tile.
    """

    total_classes: int
    states: Tensor
    losses: Tensor
    stats: Tensor
    largest: Tensor


class BadTargetError(Exception):
    """A class index is out of range; nothing was written."""


def forward(logits: Tensor, terms: RowTerms, normalizer: float, empty: float) -> RowResult:
    """Return the losses of all rows and their sum or mean.

    Parameters
    ----------
    logits
        ``(n, K)``, ``(n, K, S)`` or ``(K,)``, of any strides, float32, float64, bfloat16 or float16, on the CPU.
    terms
        The target and the options; ``(n, K, S)`` logits have n * S rows.
    normalizer
        Divides the sum; 0 stands for the sum of the weights of the rows that count.
    empty
        The value if no rows count.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range.
    """
    problem, results = _prepare(logits, terms, None, normalizer, empty)
    if _kernels().forward(ctypes.byref(problem)):
        raise BadTargetError
    return RowResult(*results, problem.grad_scale)


def forward_backward(
    logits: Tensor,
    terms: RowTerms,
    gradient: Tensor,
    normalizer: float,
    empty: float,
) -> RowResult:
    """Return the losses, and write the gradient of their sum or mean in the same pass.

    Parameters
    ----------
    logits, terms, normalizer, empty
        As in `forward`.
    gradient
        Of the logits' shape; may be the logits themselves.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range; nothing is written then.
    """
    problem, results = _prepare(logits, terms, gradient, normalizer, empty)
    if _kernels().forward_backward(ctypes.byref(problem)):
        raise BadTargetError
    return RowResult(*results, problem.grad_scale)


def backward(
    logits: Tensor,
    terms: RowTerms,
    result: tuple[Tensor, Tensor],
    grad_rows: Tensor | None,
    grad_scale: float,
) -> Tensor:
    """Return the gradient by the logits, of their shape and dtype.

    Parameters
    ----------
    logits, terms
        As given to `forward`.
    result
        Its `stats` and `largest`.
    grad_rows
        ``(rows,)`` Real derivative by each loss, or None for ones; times `grad_scale`.
    """
    gradient = torch.empty_like(logits)
    stats, largest = result
    problem = row_problem(logits, terms, gradient)
    problem.stats, problem.largest = stats.data_ptr(), largest.data_ptr()
    problem.grad_rows, problem.grad_scale = address(grad_rows), grad_scale
    _kernels().backward(ctypes.byref(problem))
    return gradient


def start_tiles(rows: int, total_classes: int, real: torch.dtype) -> ClassTiles:
    """Return the state of rows before their first class."""
    return ClassTiles(
        total_classes,
        torch.empty(rows, 8, dtype=torch.float64),
        torch.empty(rows, dtype=real),
        torch.empty(4, rows, dtype=real),
        torch.empty(rows, dtype=torch.int64),
    )


def forward_tile(logits: Tensor, first_class: int, terms: RowTerms, tiles: ClassTiles) -> None:
    """Process the next classes of all rows; after the last tile the losses are complete.

    Parameters
    ----------
    logits
        ``(rows, some classes)``.
    first_class
        The class of their first column; tiles come in the order of their classes.
    terms
        As in `forward`, with the part of the distribution and of the possible classes that belongs to this tile.
    tiles
        From `start_tiles`, changed in place.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range.
    """
    problem = _tile_problem(logits, first_class, terms, tiles, None)
    problem.losses, problem.normalizer = tiles.losses.data_ptr(), 1.0
    value = torch.empty((), dtype=tiles.losses.dtype)
    problem.result = value.data_ptr()
    if _kernels().forward(ctypes.byref(problem)):
        raise BadTargetError


def backward_tile(
    logits: Tensor,
    first_class: int,
    terms: RowTerms,
    tiles: ClassTiles,
    grad_rows: Tensor | None,
    grad_scale: float,
) -> None:
    """Overwrite the logits of some classes with their gradient, in any order, after the last `forward_tile`."""
    problem = _tile_problem(logits, first_class, terms, tiles, logits)
    problem.grad_rows, problem.grad_scale = address(grad_rows), grad_scale
    _kernels().backward(ctypes.byref(problem))


def _tile_problem(
    logits: Tensor, first_class: int, terms: RowTerms, tiles: ClassTiles, gradient: Tensor | None
) -> RowProblem:
    problem = row_problem(logits, terms, gradient)
    problem.first_class, problem.total_classes = first_class, tiles.total_classes
    problem.last = int(first_class + logits.shape[1] == tiles.total_classes)
    problem.states, problem.stats = tiles.states.data_ptr(), tiles.stats.data_ptr()
    problem.largest = tiles.largest.data_ptr()
    return problem


def small_cross_entropy(
    logits: Tensor, target: Tensor, ignore_index: int, normalizer: float, empty: float, gradient: Tensor | None
) -> Tensor:
    """Return the loss of contiguous float32 ``(n, K)`` logits and int64 ``(n,)`` indices, in one thread.

    Parameters
    ----------
    logits, target, ignore_index, normalizer, empty
        As in `forward`.
    gradient
        Of the logits' shape, to be written; or None.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range; nothing is written then.
    """
    value = logits.new_empty(())
    (n, num_classes), out = logits.shape, None if gradient is None else gradient.data_ptr()
    logits_at, target_at, value_at = logits.data_ptr(), target.data_ptr(), value.data_ptr()
    if _kernels().small(logits_at, target_at, n, num_classes, ignore_index, normalizer, empty, out, value_at):
        raise BadTargetError
    return value


@dataclass(frozen=True)
class _Kernels:
    forward: Callable[..., int]
    backward: Callable[..., int]
    forward_backward: Callable[..., int]
    small: Callable[..., int]


@functools.cache
def _kernels() -> _Kernels:
    library = open_library(RowProblem)
    library.crossent_row_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 4)
    *of_problems, small = library.crossent_row_kernels(info().level.encode()).contents
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(RowProblem))
    forward, backward, forward_backward = (prototype(at) for at in of_problems)
    pointer, number, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    small_prototype = ctypes.CFUNCTYPE(number, pointer, pointer, number, number, number, real, real, pointer, pointer)
    return _Kernels(forward, backward, forward_backward, small_prototype(small))


def _prepare(
    logits: Tensor, terms: RowTerms, gradient: Tensor | None, normalizer: float, empty: float
) -> tuple[RowProblem, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return the struct of a call, and the tensors that it will fill: value, losses, stats, largest."""
    rows = logits.numel() // num_classes_of(logits)
    real = real_dtype(logits)
    value, losses = torch.empty((), dtype=real), torch.empty(rows, dtype=real)
    stats, largest = torch.empty(4, rows, dtype=real), torch.empty(rows, dtype=torch.int64)
    problem = row_problem(logits, terms, gradient)
    problem.normalizer, problem.empty = normalizer, empty
    problem.result, problem.losses = value.data_ptr(), losses.data_ptr()
    problem.stats, problem.largest = stats.data_ptr(), largest.data_ptr()
    return problem, (value, losses, stats, largest)
