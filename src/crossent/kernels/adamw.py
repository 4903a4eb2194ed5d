"""A step of AdamW over parameters that lie side by side, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from crossent.errors import ShapeError
from crossent.kernels.fits import check_tensor
from crossent.kernels.library import info
from crossent.kernels.problem import parallel_for


class Factors(NamedTuple):
    """Numbers of a step.

    Attributes
    ----------
    rate
        Multiplies the mean gradient by the root of the mean square.
    kept
        Multiplies the values that decay.
    mean_share, square_share
        Shares of the new gradient in its running mean, and of its square in that of squares.
    square_scale
        Multiplies the root of the mean square.
    epsilon
        Is added to it.
    """

    rate: float
    kept: float
    mean_share: float
    square_share: float
    square_scale: float
    epsilon: float


class _AdamWProblem(ctypes.Structure):
    """The struct of the same name in adamw.h."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("decaying", ctypes.c_int64),
        *((name, ctypes.c_double) for name in Factors._fields),
        *((name, ctypes.c_void_p) for name in ("gradient", "values", "mean", "square")),
        ("parallel_for", ctypes.c_void_p),
    )


def step(values: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, decaying: int, factors: Factors) -> None:
    """Change values, mean and square by a gradient, all contiguous float32 ``(P,)`` on the CPU.

    Of the values, the first ``decaying`` ones decay.
    """
    for name, one in (("values", values), ("gradient", gradient), ("mean", mean), ("square", square)):
        check_tensor(name, one, (len(values),), torch.float32)
    if not 0 <= decaying <= len(values):
        raise ShapeError("Some of the values decay.", f"Of {len(values)}, {decaying} do.", "Give how many.")
    arrays = (one.data_ptr() for one in (gradient, values, mean, square))
    problem = _AdamWProblem(len(values), decaying, *factors, *arrays, parallel_for())
    _kernel()(ctypes.byref(problem))


@functools.cache
def _kernel() -> Callable[..., None]:
    found = info()
    library = ctypes.CDLL(found.path)
    library.crossent_adamw_kernel.restype = ctypes.c_void_p
    prototype = ctypes.CFUNCTYPE(None, ctypes.POINTER(_AdamWProblem))
    return prototype(library.crossent_adamw_kernel(found.level.encode()))
