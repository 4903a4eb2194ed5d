"""A call of the row kernels: the options of a loss, as the struct that the kernels take."""

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crossent.kernels.library import info

DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3, torch.bool: 4}


class View(ctypes.Structure):
    """The struct of the same name in rows.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int64),
        ("outer", ctypes.c_int64),
        ("inner", ctypes.c_int64),
        ("classes", ctypes.c_int64),
    )


class RowProblem(ctypes.Structure):
    """The struct of the same name in rows.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("outer_rows", "inner_rows", "classes", "first_class", "total_classes")),
        *((name, View) for name in ("logits", "distribution", "possible", "gradient")),
        ("target", ctypes.c_void_p),
        ("ignore_index", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("class_weight", "sample_weight", "log_prior")),
        *((name, ctypes.c_double) for name in ("label_smoothing", "temperature", "softcap", "z_loss", "focal_gamma")),
        ("weighted_smoothing", ctypes.c_int64),
        ("possible_count", ctypes.c_void_p),
        ("states", ctypes.c_void_p),
        ("last", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("losses", "stats", "largest", "grad_rows")),
        ("normalizer", ctypes.c_double),
        ("empty", ctypes.c_double),
        ("result", ctypes.c_void_p),
        ("grad_scale", ctypes.c_double),
        ("parallel_for", ctypes.c_void_p),
        ("even_weight", ctypes.c_void_p),
        ("even_total", ctypes.c_double),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
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
        As in `crossent.cross_entropy`; a softcap of 0 means that there is none.
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


def real_dtype(logits: Tensor) -> torch.dtype:
    """Return the dtype that the kernels compute in."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def row_problem(logits: Tensor, terms: RowTerms, gradient: Tensor | None) -> RowProblem:
    """Return the struct of a call, without the fields for its results."""
    num_classes = num_classes_of(logits)
    problem = RowProblem(
        outer_rows=1 if logits.ndim == 1 else logits.shape[0],
        inner_rows=logits.shape[2] if logits.ndim == 3 else 1,
        classes=num_classes,
        total_classes=num_classes,
        logits=view(logits),
        target=address(terms.target),
        ignore_index=terms.ignore_index,
        class_weight=address(terms.class_weight),
        sample_weight=address(terms.sample_weight),
        log_prior=address(terms.log_prior),
        label_smoothing=terms.label_smoothing,
        temperature=terms.temperature,
        softcap=terms.softcap,
        z_loss=terms.z_loss,
        focal_gamma=terms.focal_gamma,
        weighted_smoothing=terms.weighted_smoothing,
        possible_count=address(terms.possible_count),
        last=1,
        parallel_for=parallel_for(),
    )
    # Filling in a view takes a microsecond, even an empty one.
    if terms.distribution is not None:
        problem.distribution = view(terms.distribution)
    if terms.possible is not None:
        problem.possible = view(terms.possible)
    if gradient is not None:
        problem.gradient = view(gradient)
    return problem


def num_classes_of(logits: Tensor) -> int:
    """Return K."""
    return logits.shape[min(logits.ndim - 1, 1)]


def address(values: Tensor | None) -> int | None:
    """Return the address of the data of a tensor."""
    return None if values is None else values.data_ptr()


def has_memory(values: Tensor) -> bool:
    """Say whether the elements of a tensor are in memory: those of a freed storage and torch's lazy zeros are not."""
    try:
        return (values.data_ptr() != 0 and values.untyped_storage().nbytes() > 0) or not values.numel()
    except (RuntimeError, NotImplementedError):
        # The objects that torch.func puts in the place of a tensor have no storage.
        return False


def view(values: Tensor) -> tuple[int, int, int, int, int]:
    """Return what a `View` holds: address, dtype, and the strides of outer rows, inner rows and classes."""
    stride = values.stride()
    if values.ndim == 1:
        return values.data_ptr(), DTYPES[values.dtype], 0, 0, stride[0]
    return values.data_ptr(), DTYPES[values.dtype], stride[0], stride[2] if values.ndim == 3 else 0, stride[1]


def can_run_native(*values: Tensor) -> bool:
    """Say whether there are kernels, and all tensors are float32 on the CPU, which every kernel can compute."""
    return info().available and all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in values)


@functools.cache
def parallel_for() -> int | None:
    """Return the address of torch's parallel loop, so that `torch.set_num_threads` applies to the kernels, too."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        path = Path(torch.__file__).parent / "lib" / name
        if path.is_file():
            function = getattr(ctypes.CDLL(str(path)), "torch_parallel_for", None)
            return None if function is None else ctypes.cast(function, ctypes.c_void_p).value
    return None
