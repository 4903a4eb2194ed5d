"""A step of AdamW over parameters that are side by side in memory, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from crossent.errors import ShapeError
from crossent.kernels.fits import check_tensor
from crossent.kernels.library import info, open_library
from crossent.kernels.problem import parallel_for


class Factors(NamedTuple):
    """The factors of a step.

    Attributes
    ----------
    rate
        Multiplies the mean gradient by the root of the mean square.
    kept
        Multiplies the values with weight decay.
    mean_share, square_share
        Share of the new gradient in the running mean of gradients, and of its square in the running mean of squares.
    square_scale
        Multiplies the root of the mean square.
    epsilon
        Is added to this root.
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

    The first ``decaying`` values have weight decay.
    """
    for name, tensor in (("values", values), ("gradient", gradient), ("mean", mean), ("square", square)):
        check_tensor(name, tensor, (len(values),), torch.float32)
    if not 0 <= decaying <= len(values):
        raise ShapeError(
            "The number of values with weight decay is from 0 to the number of values.",
            f"It is {decaying}, and there are {len(values)} values.",
            "Give a number in this range.",
        )
    problem = _AdamWProblem(
        count=len(values),
        decaying=decaying,
        rate=factors.rate,
        kept=factors.kept,
        mean_share=factors.mean_share,
        square_share=factors.square_share,
        square_scale=factors.square_scale,
        epsilon=factors.epsilon,
        gradient=gradient.data_ptr(),
        values=values.data_ptr(),
        mean=mean.data_ptr(),
        square=square.data_ptr(),
        parallel_for=parallel_for(),
    )
    _kernel()(ctypes.byref(problem))


@functools.cache
def _kernel() -> Callable[..., None]:
    library = open_library(_AdamWProblem)
    library.crossent_adamw_kernel.restype = ctypes.c_void_p
    prototype = ctypes.CFUNCTYPE(None, ctypes.POINTER(_AdamWProblem))
    return prototype(library.crossent_adamw_kernel(info().level.encode()))
