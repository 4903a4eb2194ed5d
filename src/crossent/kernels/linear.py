"""The kernel of linear layers with few classes: rows of input to losses and gradients in one pass, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossent.kernels.fits import check_tensor
from crossent.kernels.library import info, open_library
from crossent.kernels.problem import RowProblem, RowTerms, address, row_problem
from crossent.kernels.rows import BadTargetError

# With more classes, the matrix products of torch are faster.
MOST_CLASSES = 32
# Number of rows in each share, which has separate sums.
_ROWS_OF_PART, _MOST_PARTS = 2048, 32
_PADDING = 16


class _LinearProblem(ctypes.Structure):
    """The struct of the same name in linear.h."""

    _fields_ = (
        ("rows", RowProblem),
        ("features", ctypes.c_int64),
        ("input", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("parts", ctypes.c_int64),
        ("sums", ctypes.c_void_p),
        ("grad_input", ctypes.c_void_p),
        ("grad_weight", ctypes.c_void_p),
        ("grad_bias", ctypes.c_void_p),
    )


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
class LayerGradient:
    """Derivatives of a loss by a layer, of its shapes and dtypes; None where they were not asked for."""

    input: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def linear_losses(
    layer: Layer, terms: RowTerms, normalizer: float, grad_rows: Tensor | None, gradient: LayerGradient
) -> Tensor:
    """Return the loss of each row, and fill the derivatives of their sum divided by the normalizer.

    Parameters
    ----------
    layer
        Tensors of float32 or of float64, contiguous, on the CPU.
    terms
        The options for the n rows.
    normalizer
        Not 0.
    grad_rows
        ``(n,)`` weights of the losses in the sum, or None for ones.
    gradient
        Memory for the derivatives: those by the input are written, those by weight and bias are added.

    Returns
    -------
    Tensor
        ``(n,)`` losses, times the sample weights.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range; nothing is added then.
    """
    (n, d), num_classes = layer.input.shape, len(layer.weight)
    _check(layer, gradient, grad_rows)
    losses = torch.empty(n, dtype=layer.input.dtype)
    parts = max(1, min(_MOST_PARTS, n // _ROWS_OF_PART))
    sums = None
    if gradient.weight is not None or gradient.bias is not None:
        sums = losses.new_empty(parts, num_classes * _padded(d) + _padded(num_classes))
    like_logits = losses.new_empty(()).expand(n, num_classes)
    row_part = row_problem(like_logits, terms, None)
    row_part.normalizer, row_part.grad_rows, row_part.losses = normalizer, address(grad_rows), losses.data_ptr()
    problem = _LinearProblem(
        rows=row_part,
        features=d,
        input=address(layer.input),
        weight=address(layer.weight),
        bias=address(layer.bias),
        parts=parts,
        sums=address(sums),
        grad_input=address(gradient.input),
        grad_weight=address(gradient.weight),
        grad_bias=address(gradient.bias),
    )
    if _kernel()(ctypes.byref(problem)):
        raise BadTargetError
    return losses


def _check(layer: Layer, gradient: LayerGradient, grad_rows: Tensor | None) -> None:
    (n, d), num_classes, dtype = layer.input.shape, len(layer.weight), layer.input.dtype
    for name, values, shape in (
        ("input", layer.input, (n, d)),
        ("weight", layer.weight, (num_classes, d)),
        ("bias", layer.bias, (num_classes,)),
        ("the gradient of the input", gradient.input, (n, d)),
        ("the gradient of the weight", gradient.weight, (num_classes, d)),
        ("the gradient of the bias", gradient.bias, (num_classes,)),
        ("the weights of the losses", grad_rows, (n,)),
    ):
        if values is not None:
            check_tensor(name, values, shape, dtype)


def _padded(n: int) -> int:
    return -(-n // _PADDING) * _PADDING


@functools.cache
def _kernel() -> Callable[..., int]:
    library = open_library(_LinearProblem)
    library.crossent_linear_kernel.restype = ctypes.c_void_p
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(_LinearProblem))
    return prototype(library.crossent_linear_kernel(info().level.encode()))
