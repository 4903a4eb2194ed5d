"""Embeddings of numbers by curves of straight pieces, and their gradients, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossent.errors import ShapeError
from crossent.kernels.fits import check_tensor
from crossent.kernels.library import info, open_library
from crossent.kernels.problem import parallel_for


class _CurveProblem(ctypes.Structure):
    """The struct of the same name in curves.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "numbers", "pieces", "size")),
        ("farthest", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("values", "left", "slope", "weight", "line", "bias", "out")),
        *((f"{name}_gradient", ctypes.c_void_p) for name in ("out", "weight", "line", "bias")),
        ("parallel_for", ctypes.c_void_p),
    )


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of p numbers, all contiguous float32.

    Attributes
    ----------
    left, slope
        ``(p, b)``: where the pieces of each curve begin, rising, and one over their lengths. Curves with fewer than b
        pieces have a slope of 0 in the last places.
    weight
        ``(p, b, s)``: the vector that a piece adds to the embedding of numbers above it.
    line, bias
        ``(p, 1, s)``: the vector by which the bent number is multiplied, and the vector that is added.
    farthest
        The limit that bent numbers approach.
    """

    left: Tensor
    slope: Tensor
    weight: Tensor
    line: Tensor
    bias: Tensor
    farthest: float


def forward(values: Tensor, curves: Curves) -> Tensor:
    """Return ``(n, p * s)`` embeddings of contiguous float32 ``(n, p)`` numbers."""
    problem = _problem(values, curves)
    p, _, size = curves.weight.shape
    out = values.new_empty(len(values), p * size)
    problem.out = out.data_ptr()
    _kernels().forward(ctypes.byref(problem))
    return out


def backward(values: Tensor, curves: Curves, out_gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of weight, line and bias, from the float32 ``(n, p * s)`` gradient of the embeddings."""
    problem = _problem(values, curves)
    p, _, size = curves.weight.shape
    check_tensor("the gradient of the embeddings", out_gradient, (len(values), p * size), torch.float32)
    gradients = torch.empty_like(curves.weight), torch.empty_like(curves.line), torch.empty_like(curves.bias)
    problem.out_gradient = out_gradient.data_ptr()
    problem.weight_gradient, problem.line_gradient, problem.bias_gradient = (
        gradient.data_ptr() for gradient in gradients
    )
    _kernels().backward(ctypes.byref(problem))
    return gradients


def _problem(values: Tensor, curves: Curves) -> _CurveProblem:
    p, pieces, size = curves.weight.shape
    if not pieces:
        raise ShapeError(
            "Curves have at least one piece.", f"weight has shape {tuple(curves.weight.shape)}.", "Add one."
        )
    check_tensor("numbers", values, (len(values), p), torch.float32)
    for name, places in (("left", curves.left), ("slope", curves.slope)):
        check_tensor(name, places, (p, pieces), torch.float32)
    check_tensor("weight", curves.weight, (p, pieces, size), torch.float32)
    for name, vectors in (("line", curves.line), ("bias", curves.bias)):
        check_tensor(name, vectors, (p, 1, size), torch.float32)
    return _CurveProblem(
        rows=len(values),
        numbers=p,
        pieces=pieces,
        size=size,
        farthest=curves.farthest,
        values=values.data_ptr(),
        left=curves.left.data_ptr(),
        slope=curves.slope.data_ptr(),
        weight=curves.weight.data_ptr(),
        line=curves.line.data_ptr(),
        bias=curves.bias.data_ptr(),
        parallel_for=parallel_for(),
    )


@dataclass(frozen=True)
class _Kernels:
    forward: Callable[..., None]
    backward: Callable[..., None]


@functools.cache
def _kernels() -> _Kernels:
    library = open_library(_CurveProblem)
    library.crossent_curve_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 2)
    kernels = library.crossent_curve_kernels(info().level.encode()).contents
    return _Kernels(*(ctypes.CFUNCTYPE(None, ctypes.POINTER(_CurveProblem))(kernel) for kernel in kernels))
