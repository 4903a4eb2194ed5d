"""The kernels of softmax regression: derivatives of the loss by the weights in one pass over the rows, by ctypes.

They take NumPy arrays, so that a command that fits or predicts by them need not load torch. Weights, directions and
derivatives are ``(d + 1, W)``: a row for each feature and one for the bias, and a column for each class, with zeros up
to a whole number of vectors.
"""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crossent.kernels.library import info

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]
_PADDING = 16


@dataclass(frozen=True, eq=False)
class DenseRows:
    """Rows of features.

    Attributes
    ----------
    values
        ``(n, d)`` float32 or float64, contiguous.
    """

    values: Real

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        n, d = self.values.shape
        return n, d

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """What the kernels compute in."""
        return self.values.dtype

    def take(self, rows: slice) -> "DenseRows":
        """Return some of the rows, without a copy."""
        return DenseRows(self.values[rows])


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
        float32 or float64 value of each element.
    features
        d.
    """

    ends: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    values: Real
    features: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self.ends) - 1, self.features

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """What the kernels compute in."""
        return self.values.dtype

    def take(self, rows: slice) -> "SparseRows":
        """Return some of the rows, without a copy of their elements."""
        begin, end, _ = rows.indices(len(self.ends) - 1)
        return replace(self, ends=self.ends[begin : end + 1])


@dataclass(frozen=True, eq=False)
class RowTargets:
    """What the rows are to be.

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


def padded_classes(num_classes: int) -> int:
    """Return W, the columns of weights and probabilities for K classes."""
    return -(-num_classes // _PADDING) * _PADDING


def add_gradient(
    rows: DenseRows | SparseRows, targets: RowTargets, num_classes: int, weight: Real, probs: Real, sums: Real
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
        ``(n, W)``: written.
    sums
        ``(d + 1, W)``: the derivatives by the weight are added.
    """
    problem = _problem(rows, targets, num_classes, probs, sums)
    problem.weight = weight.ctypes.data
    _kernels(sums.dtype == np.float64).gradient(ctypes.byref(problem))
    return float(problem.loss)


def add_product(
    rows: DenseRows | SparseRows, targets: RowTargets, num_classes: int, probs: Real, direction: Real, sums: Real
) -> None:
    """Add to `sums` the product of the rows' Hessian and a direction, both ``(d + 1, W)``, in one thread.

    Parameters
    ----------
    rows, targets, num_classes
        As in `add_gradient`. Distributions are taken to sum to one: weigh the rows by their sums.
    probs
        As `add_gradient` left them.
    direction, sums
        ``(d + 1, W)`` of the dtype of the rows.
    """
    problem = _problem(rows, targets, num_classes, probs, sums)
    problem.direction = direction.ctypes.data
    _kernels(sums.dtype == np.float64).product(ctypes.byref(problem))


def _problem(
    rows: DenseRows | SparseRows, targets: RowTargets, num_classes: int, probs: Real, sums: Real
) -> _RegressionProblem:
    problem = _RegressionProblem(*rows.shape, num_classes)
    if isinstance(rows, DenseRows):
        problem.dense = rows.values.ctypes.data
    else:
        problem.ends, problem.columns = rows.ends.ctypes.data, rows.columns.ctypes.data
        problem.values = rows.values.ctypes.data
    problem.target, problem.distribution, problem.row_weight = map(
        _address, (targets.target, targets.distribution, targets.row_weight)
    )
    problem.probs, problem.sums = probs.ctypes.data, sums.ctypes.data
    return problem


def _address(values: npt.NDArray[np.generic] | None) -> int | None:
    return None if values is None else values.ctypes.data


@dataclass(frozen=True)
class _Kernels:
    gradient: Callable[..., None]
    product: Callable[..., None]


@functools.cache
def _kernels(wide: bool) -> _Kernels:
    found = info()
    library = ctypes.CDLL(found.path)
    library.crossent_regression_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 4)
    addresses = library.crossent_regression_kernels(found.level.encode()).contents
    prototype = ctypes.CFUNCTYPE(None, ctypes.POINTER(_RegressionProblem))
    first = 2 if wide else 0
    return _Kernels(*(prototype(address) for address in addresses[first : first + 2]))
