"""The kernel of linear layers with few classes: rows of input to losses and gradients in one pass, by ctypes."""

import ctypes
import functools
from collections.abc import Callable

import torch
from torch import Tensor

from crossent.kernels.library import info
from crossent.kernels.rows import BadTargetError, RowProblem, RowTerms, address, row_problem

# More classes are faster in torch's own matrix products.
MOST_CLASSES = 32
# Rows of a share with sums of its own.
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


def linear_losses(  # noqa: PLR0913 - a layer, a loss and the gradients to fill
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    terms: RowTerms,
    normalizer: float,
    grad_rows: Tensor | None,
    grad_input: Tensor | None,
    grad_weight: Tensor | None,
    grad_bias: Tensor | None,
) -> Tensor:
    """Return the loss of each row, and fill the derivatives of their sum divided by the normalizer.

    Parameters
    ----------
    inputs, weight, bias
        ``(n, d)``, ``(C, d)`` and ``(C,)``: all float32 or all float64, contiguous, on the CPU.
    terms
        Of the n rows.
    normalizer
        Not 0.
    grad_rows
        ``(n,)`` weights of the losses in the sum, or None for ones.
    grad_input
        ``(n, d)`` to be written, or None.
    grad_weight, grad_bias
        To be added to, or None.

    Returns
    -------
    Tensor
        ``(n,)`` losses, times the sample weights.

    Raises
    ------
    BadTargetError
        If a class index of a row that counts is out of range; nothing is added then.
    """
    (n, d), num_classes = inputs.shape, len(weight)
    losses = torch.empty(n, dtype=inputs.dtype)
    parts = max(1, min(_MOST_PARTS, n // _ROWS_OF_PART))
    sums = None
    if grad_weight is not None or grad_bias is not None:
        sums = torch.empty(parts, num_classes * _padded(d) + _padded(num_classes), dtype=inputs.dtype)
    like_logits = inputs.new_empty(()).expand(n, num_classes)
    problem = _LinearProblem(row_problem(like_logits, terms, None), d, *map(address, (inputs, weight, bias)), parts)
    problem.sums, problem.grad_input = address(sums), address(grad_input)
    problem.grad_weight, problem.grad_bias = address(grad_weight), address(grad_bias)
    problem.rows.normalizer, problem.rows.grad_rows = normalizer, address(grad_rows)
    problem.rows.losses = losses.data_ptr()
    if _kernel()(ctypes.byref(problem)):
        raise BadTargetError
    return losses


def _padded(n: int) -> int:
    return -(-n // _PADDING) * _PADDING


@functools.cache
def _kernel() -> Callable[..., int]:
    found = info()
    library = ctypes.CDLL(found.path)
    library.crossent_linear_kernel.restype = ctypes.c_void_p
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(_LinearProblem))
    return prototype(library.crossent_linear_kernel(found.level.encode()))
