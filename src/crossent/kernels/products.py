"""Matrix products whose bits do not depend on tiles or threads, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossent.errors import ShapeError
from crossent.kernels.fits import check_rows, check_tensor
from crossent.kernels.library import info, open_library
from crossent.kernels.problem import View, address, parallel_for, view

# A product may be cut along its depth after multiples of this many terms without a change of its bits.
SUM_BLOCK = 128


class _ProductProblem(ctypes.Structure):
    """The struct of the same name in matrix_product.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "depth", "columns")),
        *((name, View) for name in ("left", "right", "out")),
        ("bias", ctypes.c_void_p),
        ("add", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("parallel_for", ctypes.c_void_p),
    )


class _ColumnSumProblem(ctypes.Structure):
    """The struct of the same name in matrix_product.h."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("values", View),
        ("out", ctypes.c_void_p),
        ("parallel_for", ctypes.c_void_p),
    )


class _ScatterProblem(ctypes.Structure):
    """The struct of the same name in matrix_product.h."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("values", View),
        ("factor", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
        ("out", View),
        ("parallel_for", ctypes.c_void_p),
    )


def multiply(left: Tensor, right: Tensor, out: Tensor, *, bias: Tensor | None = None) -> None:
    """Write ``left @ right``, plus the bias to each row if there is one.

    Parameters
    ----------
    left
        ``(m, k)``, of any strides and of any dtype of the row kernels.
    right
        ``(k, n)``, likewise.
    out
        ``(m, n)`` float32 or float64, the elements of its rows side by side: what is computed in.
    bias
        ``(n,)`` contiguous, of the dtype of `out`, or None.
    """
    _run_product(left, right, out, bias, add=False)


def add_product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Add ``left @ right`` to `out`.

    Parameters
    ----------
    left, right, out
        As in `multiply`.
    """
    _run_product(left, right, out, None, add=True)


def add_column_sums(values: Tensor, out: Tensor) -> None:
    """Add the sum of each column to `out`.

    Parameters
    ----------
    values
        ``(m, n)`` float32 or float64, the elements of its rows side by side.
    out
        ``(n,)`` contiguous, of their dtype.
    """
    check_rows("values", values, (len(values), values.shape[1]), torch.float32, torch.float64)
    check_tensor("the sums", out, (values.shape[1],), values.dtype)
    rows, columns = values.shape
    problem = _ColumnSumProblem(
        rows=rows, columns=columns, values=view(values), out=out.data_ptr(), parallel_for=parallel_for()
    )
    _kernels().column_sums(ctypes.byref(problem))


def scatter(values: Tensor, factor: Tensor, target: Tensor, out: Tensor) -> None:
    """Add to row ``target[i]`` of `out`, in the order of i, ``factor[i] * values[i]``.

    Parameters
    ----------
    values
        ``(n, d)``, of any strides and of any dtype of the row kernels.
    factor
        ``(n,)`` contiguous, of the dtype of `out`; where it is 0, the values and the target are not read.
    target
        ``(n,)`` contiguous int64.
    out
        ``(m, d)`` float32 or float64, the elements of its rows side by side.
    """
    rows, columns = values.shape
    check_rows("the sums", out, (len(out), columns), torch.float32, torch.float64)
    check_tensor("factor", factor, (rows,), out.dtype)
    check_tensor("target", target, (rows,), torch.int64)
    problem = _ScatterProblem(
        rows=rows,
        columns=columns,
        values=view(values),
        factor=factor.data_ptr(),
        target=target.data_ptr(),
        out=view(out),
        parallel_for=parallel_for(),
    )
    _kernels().scatter(ctypes.byref(problem))


def _run_product(left: Tensor, right: Tensor, out: Tensor, bias: Tensor | None, *, add: bool) -> None:
    check_rows("the product", out, (len(left), right.shape[1]), torch.float32, torch.float64)
    if left.shape[1] != len(right):
        raise ShapeError(
            "The left matrix has as many columns as the right one has rows.",
            f"Their shapes are {tuple(left.shape)} and {tuple(right.shape)}.",
            "Transpose one of them.",
        )
    if bias is not None:
        check_tensor("bias", bias, (right.shape[1],), out.dtype)
    problem = _ProductProblem(
        rows=left.shape[0],
        depth=left.shape[1],
        columns=right.shape[1],
        left=view(left),
        right=view(right.t()),
        out=view(out),
        bias=address(bias),
        add=add,
        threads=torch.get_num_threads(),
        parallel_for=parallel_for(),
    )
    _kernels().product(ctypes.byref(problem))


@dataclass(frozen=True)
class _Kernels:
    product: Callable[..., None]
    column_sums: Callable[..., None]
    scatter: Callable[..., None]


@functools.cache
def _kernels() -> _Kernels:
    library = open_library(_ProductProblem, _ColumnSumProblem, _ScatterProblem)
    library.crossent_product_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 3)
    product, column_sums, scattering = library.crossent_product_kernels(info().level.encode()).contents
    return _Kernels(
        ctypes.CFUNCTYPE(None, ctypes.POINTER(_ProductProblem))(product),
        ctypes.CFUNCTYPE(None, ctypes.POINTER(_ColumnSumProblem))(column_sums),
        ctypes.CFUNCTYPE(None, ctypes.POINTER(_ScatterProblem))(scattering),
    )
