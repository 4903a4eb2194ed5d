"""The kernels of softmax regression: derivatives of the loss by the weights in one pass over the rows, by ctypes.

They take NumPy arrays, so that a command that only fits or predicts with them does not load torch. Weights, directions
and derivatives are ``(d + 1, W)``: a row for each feature and one for the bias, and a column for each class, with
columns of zeros up to a whole number of vectors.
"""

import ctypes
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from crossent.kernels.fits import check_array, check_ends
from crossent.kernels.library import info, open_library

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]
_PADDING = 16
# Bytes of a cache line.
_LINE = 64


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Compressed sparse rows.

    Attributes
    ----------
    ends
        ``(n + 1,)`` int64: where the elements of each row begin, and at last end.
    columns
        int32 feature of each element.
    values
        Value of each element.
    """

    ends: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    values: Real


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Rows of features, some of them dense and some sparse.

    Attributes
    ----------
    dense
        ``(n, p)`` float32 or float64, contiguous: the first p features.
    sparse
        More of them, of the same dtype, or None.
    features
        d, the number of all.
    """

    dense: Real
    sparse: SparseRows | None
    features: int

    def __len__(self) -> int:
        """Return n."""
        return len(self.dense)

    def take(self, rows: slice) -> "FeatureRows":
        """Return some of the rows, without a copy of their elements."""
        sparse = self.sparse
        if sparse is not None:
            begin, end, _ = rows.indices(len(self))
            sparse = replace(sparse, ends=sparse.ends[begin : end + 1])
        return FeatureRows(self.dense[rows], sparse, self.features)


@dataclass(frozen=True, eq=False)
class RowTargets:
    """The targets of rows, and their weights.

    Attributes
    ----------
    target
        ``(n,)`` int64 class indices below K, or None with distributions.
    distribution
        ``(n, K)`` of the dtype of the features, or None with indices.
    row_weight
        ``(n,)`` of that dtype, or None for ones.
    """

    target: npt.NDArray[np.int64] | None
    distribution: Real | None
    row_weight: Real | None

    def take(self, rows: slice) -> "RowTargets":
        """Return those of some of the rows, without a copy."""
        return RowTargets(
            None if self.target is None else self.target[rows],
            None if self.distribution is None else self.distribution[rows],
            None if self.row_weight is None else self.row_weight[rows],
        )


class _RegressionProblem(ctypes.Structure):
    """The struct of the same name in regression.h."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("features", ctypes.c_int64),
        ("dense_features", ctypes.c_int64),
        ("classes", ctypes.c_int64),
        ("dense", ctypes.c_void_p),
        ("ends", ctypes.c_void_p),
        ("columns", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
        ("distribution", ctypes.c_void_p),
        ("row_weight", ctypes.c_void_p),
        ("probs", ctypes.c_void_p),
        ("direction", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("loss", ctypes.c_double),
    )


class _CouplingProblem(ctypes.Structure):
    """The struct of the same name in regression.h."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("features", ctypes.c_int64),
        ("classes", ctypes.c_int64),
        ("dense", ctypes.c_void_p),
        ("probs", ctypes.c_void_p),
        ("row_weight", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
    )


def padded_classes(num_classes: int) -> int:
    """Return W, the columns of weights and probabilities for K classes."""
    return -(-num_classes // _PADDING) * _PADDING


def as_real(values: npt.ArrayLike, dtype: npt.DTypeLike) -> Real:
    """Return contiguous numbers of float32 or float64; they are copied only if needed."""
    return cast(Real, np.asarray(values, dtype=dtype, order="C"))


def zeros_at_line(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Real:
    """Return zeros that begin at a cache line, so that a row of whole lines does not touch further lines."""
    size, itemsize = math.prod(shape), np.dtype(dtype).itemsize
    room = np.zeros(size + _LINE // itemsize, dtype)
    first = -room.ctypes.data % _LINE // itemsize
    return cast(Real, room[first : first + size].reshape(shape))


def add_gradient(
    rows: FeatureRows, targets: RowTargets, num_classes: int, weight: Real, probs: Real, sums: Real
) -> float:
    """Return the sum of the cross entropies of some rows, in one thread.

    Parameters
    ----------
    rows, targets
        The rows.
    num_classes
        K.
    weight
        ``(d + 1, W)`` of their dtype.
    probs
        ``(n, K)``: written.
    sums
        ``(d + 1, W)``: the derivatives by the weight are added.
    """
    problem = _problem(rows, targets, num_classes, probs, sums)
    check_array("the weight", weight, sums.shape, sums.dtype)
    problem.weight = weight.ctypes.data
    _kernels(sums.dtype == np.float64).gradient(ctypes.byref(problem))
    return float(problem.loss)


def add_product(
    rows: FeatureRows, targets: RowTargets, num_classes: int, probs: Real, direction: Real, sums: Real
) -> None:
    """Add to `sums` the product of the rows' Hessian and a direction, both ``(d + 1, W)``, in one thread.

    Parameters
    ----------
    rows, targets, num_classes
        As in `add_gradient`. Distributions are assumed to sum to one; otherwise put their sums into the weights.
    probs
        As written by `add_gradient`.
    direction, sums
        ``(d + 1, W)`` of the dtype of the rows.
    """
    problem = _problem(rows, targets, num_classes, probs, sums)
    check_array("the direction", direction, sums.shape, sums.dtype)
    problem.direction = direction.ctypes.data
    _kernels(sums.dtype == np.float64).product(ctypes.byref(problem))


def couplings(features: Real, probs: Real, row_weight: Real) -> Real:
    """Return the Hessian of the weighted losses of some rows, in one thread.

    Parameters
    ----------
    features
        ``(n, d)``, few.
    probs
        ``(n, K)``.
    row_weight
        ``(n,)``.

    Returns
    -------
    ``(K * (K + 1) / 2, d * (d + 1) / 2)``: by a pair of classes and a pair of features, both in the order of
    `numpy.triu_indices`.
    """
    (n, d), num_classes = features.shape, probs.shape[1]
    check_array("the features", features, (n, d), features.dtype)
    check_array("the probabilities", probs, (n, num_classes), features.dtype)
    check_array("the weights of the rows", row_weight, (n,), features.dtype)
    pairs = d * (d + 1) // 2
    # The kernel also writes zeros after the last number.
    sums: Real = np.zeros((num_classes * (num_classes + 1) // 2, padded_classes(pairs) + _PADDING), features.dtype)
    problem = _CouplingProblem(
        rows=n,
        features=d,
        classes=num_classes,
        dense=features.ctypes.data,
        probs=probs.ctypes.data,
        row_weight=row_weight.ctypes.data,
        sums=sums.ctypes.data,
    )
    _kernels(features.dtype == np.float64).couplings(ctypes.byref(problem))
    return sums[:, :pairs]


def _problem(rows: FeatureRows, targets: RowTargets, num_classes: int, probs: Real, sums: Real) -> _RegressionProblem:
    _check(rows, targets, num_classes, probs, sums)
    problem = _RegressionProblem(
        rows=len(rows),
        features=rows.features,
        dense_features=rows.dense.shape[1],
        classes=num_classes,
        dense=rows.dense.ctypes.data,
    )
    if rows.sparse is not None:
        problem.ends, problem.columns = rows.sparse.ends.ctypes.data, rows.sparse.columns.ctypes.data
        problem.values = rows.sparse.values.ctypes.data
    problem.target, problem.distribution, problem.row_weight = map(
        _address, (targets.target, targets.distribution, targets.row_weight)
    )
    problem.probs, problem.sums = probs.ctypes.data, sums.ctypes.data
    return problem


def _check(rows: FeatureRows, targets: RowTargets, num_classes: int, probs: Real, sums: Real) -> None:
    n, dtype = len(rows), sums.dtype
    check_array("the sums", sums, (rows.features + 1, padded_classes(num_classes)), dtype)
    check_array("the features", rows.dense, (n, rows.dense.shape[1]), dtype)
    check_array("the probabilities", probs, (n, num_classes), dtype)
    if rows.sparse is not None:
        elements = len(rows.sparse.values)
        check_array("the elements", rows.sparse.values, (elements,), dtype)
        check_array("the columns", rows.sparse.columns, (elements,), np.int32)
        check_ends("the ends of rows", rows.sparse.ends, n, elements)
    if targets.target is not None:
        check_array("the target", targets.target, (n,), np.int64)
    if targets.distribution is not None:
        check_array("the distribution", targets.distribution, (n, num_classes), dtype)
    if targets.row_weight is not None:
        check_array("the weights of the rows", targets.row_weight, (n,), dtype)


def _address(values: npt.NDArray[np.generic] | None) -> int | None:
    return None if values is None else values.ctypes.data


@dataclass(frozen=True)
class _Kernels:
    gradient: Callable[..., None]
    product: Callable[..., None]
    couplings: Callable[..., None]


@functools.cache
def _kernels(wide: bool) -> _Kernels:
    library = open_library(_RegressionProblem, _CouplingProblem)
    library.crossent_regression_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 6)
    addresses = library.crossent_regression_kernels(info().level.encode()).contents
    of_rows = ctypes.CFUNCTYPE(None, ctypes.POINTER(_RegressionProblem))
    gradient, product, coupling = addresses[3:] if wide else addresses[:3]
    return _Kernels(
        of_rows(gradient), of_rows(product), ctypes.CFUNCTYPE(None, ctypes.POINTER(_CouplingProblem))(coupling)
    )
