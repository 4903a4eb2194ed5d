"""The row kernels: loss and gradient of (rows, K) logits where they lie, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crossent.kernels.library import info

DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3, torch.bool: 4}

_ABSENT = (None, 0, 0, 0, 0)


class RowProblem(ctypes.Structure):
    """The struct of the same name in rows.h, its views flattened."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("outer_rows", "inner_rows", "classes", "first_class", "total_classes")]
        + [
            (f"{view}_{part}", ctypes.c_void_p if part == "data" else ctypes.c_int64)
            for view in ("logits", "distribution", "possible", "gradient")
            for part in ("data", "dtype", "outer", "inner", "classes")
        ]
        + [("target", ctypes.c_void_p), ("ignore_index", ctypes.c_int64)]
        + [(name, ctypes.c_void_p) for name in ("class_weight", "sample_weight", "log_prior")]
        + [(name, ctypes.c_double) for name in ("label_smoothing", "temperature", "softcap", "z_loss", "focal_gamma")]
        + [("weighted_smoothing", ctypes.c_int64)]
        + [("possible_count", ctypes.c_void_p), ("states", ctypes.c_void_p), ("last", ctypes.c_int64)]
        + [(name, ctypes.c_void_p) for name in ("losses", "stats", "largest", "grad_rows")]
        + [("normalizer", ctypes.c_double), ("empty", ctypes.c_double), ("result", ctypes.c_void_p)]
        + [("grad_scale", ctypes.c_double), ("parallel_for", ctypes.c_void_p)]
        + [("even_weight", ctypes.c_void_p)]
    )


@dataclass(frozen=True, eq=False)
class RowTerms:
    """What the loss of each row is made of, besides its logits.

    "Real" is float64 for float64 logits, and float32 for all others. Rows are counted in the order of the index target.

    Attributes
    ----------
    target
        ``(rows,)`` int64 class indices, or None with a distribution.
    distribution
        Distributions of the shape of the logits, or None with indices.
    possible
        Boolean class mask of the shape of the logits, or ``(K,)``.
    possible_count
        ``(rows,)`` Real number of possible classes, for label smoothing under a mask.
    class_weight, log_prior
        ``(K,)`` Real.
    sample_weight
        ``(rows,)`` Real; 0 ignores a row.
    ignore_index, label_smoothing, temperature, softcap, z_loss, focal_gamma
        As in `crossent.cross_entropy`; a softcap of 0 is none.
    weighted_smoothing
        Whether the class weights hold for the smoothed part of the target.
    """

    target: Tensor | None = None
    distribution: Tensor | None = None
    possible: Tensor | None = None
    possible_count: Tensor | None = None
    class_weight: Tensor | None = None
    sample_weight: Tensor | None = None
    log_prior: Tensor | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0
    temperature: float = 1.0
    softcap: float = 0.0
    z_loss: float = 0.0
    focal_gamma: float = 0.0
    weighted_smoothing: bool = True


@dataclass(frozen=True, eq=False)
class RowResult:
    """What the forward kernel found.

    Attributes
    ----------
    value
        Scalar Real: the sum of the losses, divided as asked.
    losses
        ``(rows,)`` Real losses, times the sample weights.
    stats, largest
        ``(rows, 4)`` Real and ``(rows,)`` int64: what the backward kernel needs.
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
    """What is known of rows whose logits come in tiles of a few classes, one call a tile.

    Attributes
    ----------
    total_classes
        K, of all tiles together.
    states
        ``(rows, 8)`` float64, carried from tile to tile.
    losses, stats, largest
        As in `RowResult`, filled with the last tile.
    """

    total_classes: int
    states: Tensor
    losses: Tensor
    stats: Tensor
    largest: Tensor


class BadTargetError(Exception):
    """A class index is out of range; nothing was written."""


def real_dtype(logits: Tensor) -> torch.dtype:
    """Return the dtype that the kernels compute in."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def forward(logits: Tensor, terms: RowTerms, normalizer: float, empty: float) -> RowResult:
    """Return the losses of all rows and their sum or mean.

    Parameters
    ----------
    logits
        ``(n, K)``, ``(n, K, S)`` or ``(K,)``, of any strides, float32, float64, bfloat16 or float16, on the CPU.
    terms
        The rest; rows of ``(n, K, S)`` logits are counted as n * S.
    normalizer
        Divides the sum; 0 stands for the sum of the weights of the rows that count.
    empty
        The value if these are none.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range.
    """
    problem, found = _prepare(logits, terms, None, normalizer, empty)
    if _kernels().forward(ctypes.byref(problem)):
        raise BadTargetError
    return RowResult(*found, problem.grad_scale)


def forward_backward(
    logits: Tensor,
    terms: RowTerms,
    gradient: Tensor,
    normalizer: float,
    empty: float,
    grad_rows: Tensor | None = None,
) -> RowResult:
    """Write the gradient of the value while the logits are at hand.

    Parameters
    ----------
    logits, terms, normalizer, empty
        As in `forward`.
    gradient
        Of the logits' shape; may be the logits themselves.
    grad_rows
        ``(rows,)`` Real factor of the gradient of each row, or None for ones.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range; nothing is written then.
    """
    problem, found = _prepare(logits, terms, gradient, normalizer, empty)
    problem.grad_rows = address(grad_rows)
    if _kernels().forward_backward(ctypes.byref(problem)):
        raise BadTargetError
    return RowResult(*found, problem.grad_scale)


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
    """Return what is known of rows before the first of their classes."""
    return ClassTiles(
        total_classes,
        torch.empty(rows, 8, dtype=torch.float64),
        torch.empty(rows, dtype=real),
        torch.empty(rows, 4, dtype=real),
        torch.empty(rows, dtype=torch.int64),
    )


def forward_tile(logits: Tensor, first_class: int, terms: RowTerms, tiles: ClassTiles) -> None:
    """Take the next classes of all rows; the losses are there after the last.

    Parameters
    ----------
    logits
        ``(rows, some classes)``.
    first_class
        The class of their first column; tiles come in the order of their classes.
    terms
        As in `forward`, the distribution and the possible classes cut to this tile.
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
    """Put the gradient in the place of the logits of some classes, in any order, after `forward_tile` took them all."""
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


@dataclass(frozen=True)
class _Kernels:
    forward: Callable[..., int]
    backward: Callable[..., int]
    forward_backward: Callable[..., int]
    parallel_for: int | None


@functools.cache
def _kernels() -> _Kernels:
    found = info()
    library = ctypes.CDLL(found.path)
    library.crossent_row_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 3)
    addresses = library.crossent_row_kernels(found.level.encode()).contents
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(RowProblem))
    forward, backward, forward_backward = (prototype(address) for address in addresses)
    return _Kernels(forward, backward, forward_backward, _parallel_for())


def _parallel_for() -> int | None:
    """Return the address of torch's own parallel loop, so that `torch.set_num_threads` holds for the kernels too."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        path = Path(torch.__file__).parent / "lib" / name
        if path.is_file():
            function = getattr(ctypes.CDLL(str(path)), "torch_parallel_for", None)
            return None if function is None else ctypes.cast(function, ctypes.c_void_p).value
    return None


def _prepare(
    logits: Tensor, terms: RowTerms, gradient: Tensor | None, normalizer: float, empty: float
) -> tuple[RowProblem, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return the call and the tensors that it will fill: value, losses, stats, largest."""
    rows = logits.numel() // _num_classes(logits)
    real = real_dtype(logits)
    value, losses = torch.empty((), dtype=real), torch.empty(rows, dtype=real)
    stats, largest = torch.empty(rows, 4, dtype=real), torch.empty(rows, dtype=torch.int64)
    problem = row_problem(logits, terms, gradient)
    problem.normalizer, problem.empty = normalizer, empty
    problem.result, problem.losses = value.data_ptr(), losses.data_ptr()
    problem.stats, problem.largest = stats.data_ptr(), largest.data_ptr()
    return problem, (value, losses, stats, largest)


def row_problem(logits: Tensor, terms: RowTerms, gradient: Tensor | None) -> RowProblem:
    """Return the call, its results apart."""
    num_classes = _num_classes(logits)
    return RowProblem(
        1 if logits.ndim == 1 else logits.shape[0],
        logits.shape[2] if logits.ndim == 3 else 1,
        num_classes,
        0,
        num_classes,
        *_view(logits),
        *_view(terms.distribution),
        *_view(terms.possible),
        *_view(gradient),
        address(terms.target),
        terms.ignore_index,
        address(terms.class_weight),
        address(terms.sample_weight),
        address(terms.log_prior),
        terms.label_smoothing,
        terms.temperature,
        terms.softcap,
        terms.z_loss,
        terms.focal_gamma,
        terms.weighted_smoothing,
        address(terms.possible_count),
        states=None,
        last=1,
        parallel_for=_kernels().parallel_for,
    )


def _num_classes(logits: Tensor) -> int:
    return logits.shape[min(logits.ndim - 1, 1)]


def address(values: Tensor | None) -> int | None:
    """Return where the data of a tensor begin."""
    return None if values is None else values.data_ptr()


def _view(values: Tensor | None) -> tuple[int | None, int, int, int, int]:
    """Return address, dtype, and the strides of outer rows, inner rows and classes."""
    if values is None:
        return _ABSENT
    stride = values.stride()
    if values.ndim == 1:
        return values.data_ptr(), DTYPES[values.dtype], 0, 0, stride[0]
    return values.data_ptr(), DTYPES[values.dtype], stride[0], stride[2] if values.ndim == 3 else 0, stride[1]
