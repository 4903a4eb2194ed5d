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


class _RowProblem(ctypes.Structure):
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
        + [("possible_count", ctypes.c_void_p), ("states", ctypes.c_void_p), ("last", ctypes.c_int64)]
        + [(name, ctypes.c_void_p) for name in ("losses", "stats", "largest", "grad_rows")]
        + [("grad_scale", ctypes.c_double), ("average", ctypes.c_int64)]
        + [("total", ctypes.c_double), ("divisor", ctypes.c_double), ("parallel_for", ctypes.c_void_p)]
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
    """

    target: Tensor | None
    distribution: Tensor | None
    possible: Tensor | None
    possible_count: Tensor | None
    class_weight: Tensor | None
    sample_weight: Tensor | None
    log_prior: Tensor | None
    ignore_index: int
    label_smoothing: float
    temperature: float
    softcap: float
    z_loss: float
    focal_gamma: float


@dataclass(frozen=True, eq=False)
class RowResult:
    """What the forward kernel found.

    Attributes
    ----------
    losses
        ``(rows,)`` Real losses, times the sample weights.
    stats, largest
        ``(rows, 4)`` Real and ``(rows,)`` int64: what the backward kernel needs.
    total, divisor
        Sums of the losses and of the weights of the rows that count.
    """

    losses: Tensor
    stats: Tensor
    largest: Tensor
    total: float
    divisor: float


class BadTargetError(Exception):
    """A class index is out of range; nothing was written."""


def real_dtype(logits: Tensor) -> torch.dtype:
    """Return the dtype that the kernels compute in."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def forward(logits: Tensor, terms: RowTerms) -> RowResult:
    """Return the losses of all rows.

    Parameters
    ----------
    logits
        ``(n, K)``, ``(n, K, S)`` or ``(K,)``, of any strides, float32, float64, bfloat16 or float16, on the CPU.
    terms
        The rest; rows of ``(n, K, S)`` logits are counted as n * S.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range.
    """
    problem, losses, stats, largest = _prepare(logits, terms)
    if _kernels().forward(ctypes.byref(problem)):
        raise BadTargetError
    return RowResult(losses, stats, largest, problem.total, problem.divisor)


def backward(
    logits: Tensor, terms: RowTerms, result: tuple[Tensor, Tensor], grad_rows: Tensor | None, grad_scale: float
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
    problem = _problem(logits, terms, gradient, None, *result, grad_rows, grad_scale)
    _kernels().backward(ctypes.byref(problem))
    return gradient


def forward_backward(logits: Tensor, terms: RowTerms, gradient: Tensor, grad_scale: float, average: bool) -> RowResult:
    """Write the gradient while the logits are at hand, and return the losses.

    Parameters
    ----------
    logits, terms
        As in `forward`.
    gradient
        Of the logits' shape; may be the logits themselves.
    grad_scale
        Derivative of the result by each loss; with `average` it is divided by the sum of the weights.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range.
    """
    problem, losses, stats, largest = _prepare(logits, terms, gradient, grad_scale, average)
    if _kernels().forward_backward(ctypes.byref(problem)):
        raise BadTargetError
    return RowResult(losses, stats, largest, problem.total, problem.divisor)


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
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(_RowProblem))
    return _Kernels(*(prototype(address) for address in addresses), _parallel_for())


def _parallel_for() -> int | None:
    """Return the address of torch's own parallel loop, so that `torch.set_num_threads` holds for the kernels too."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        path = Path(torch.__file__).parent / "lib" / name
        if path.is_file():
            function = getattr(ctypes.CDLL(str(path)), "torch_parallel_for", None)
            return None if function is None else ctypes.cast(function, ctypes.c_void_p).value
    return None


def _prepare(
    logits: Tensor, terms: RowTerms, gradient: Tensor | None = None, grad_scale: float = 1.0, average: bool = False
) -> tuple[_RowProblem, Tensor, Tensor, Tensor]:
    rows = logits.numel() // _num_classes(logits)
    real = real_dtype(logits)
    losses = torch.empty(rows, dtype=real)
    stats = torch.empty(rows, 4, dtype=real)
    largest = torch.empty(rows, dtype=torch.int64)
    problem = _problem(logits, terms, gradient, losses, stats, largest, None, grad_scale, average)
    return problem, losses, stats, largest


def _problem(  # noqa: PLR0913 - one argument for each part of the struct
    logits: Tensor,
    terms: RowTerms,
    gradient: Tensor | None,
    losses: Tensor | None,
    stats: Tensor,
    largest: Tensor,
    grad_rows: Tensor | None,
    grad_scale: float,
    average: bool = False,
) -> _RowProblem:
    num_classes = _num_classes(logits)
    return _RowProblem(
        1 if logits.ndim == 1 else logits.shape[0],
        logits.shape[2] if logits.ndim == 3 else 1,
        num_classes,
        0,
        num_classes,
        *_view(logits),
        *_view(terms.distribution),
        *_view(terms.possible),
        *_view(gradient),
        _address(terms.target),
        terms.ignore_index,
        _address(terms.class_weight),
        _address(terms.sample_weight),
        _address(terms.log_prior),
        terms.label_smoothing,
        terms.temperature,
        terms.softcap,
        terms.z_loss,
        terms.focal_gamma,
        _address(terms.possible_count),
        None,
        1,
        _address(losses),
        stats.data_ptr(),
        largest.data_ptr(),
        _address(grad_rows),
        grad_scale,
        average,
        0.0,
        0.0,
        _kernels().parallel_for,
    )


def _num_classes(logits: Tensor) -> int:
    return logits.shape[min(logits.ndim - 1, 1)]


def _address(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


def _view(values: Tensor | None) -> tuple[int | None, int, int, int, int]:
    """Return address, dtype, and the strides of outer rows, inner rows and classes."""
    if values is None:
        return _ABSENT
    stride = values.stride()
    if values.ndim == 1:
        return values.data_ptr(), DTYPES[values.dtype], 0, 0, stride[0]
    return values.data_ptr(), DTYPES[values.dtype], stride[0], stride[2] if values.ndim == 3 else 0, stride[1]
