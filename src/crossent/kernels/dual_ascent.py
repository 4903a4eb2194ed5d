"""The kernel of dual ascent: a pass over sparse rows that improves a softmax regression row by row, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.fits import check_array, check_ends
from crossent.kernels.library import info, open_library
from crossent.kernels.regression import Real, SparseRows, as_real, padded_classes, zeros_at_line

# Logarithms that stand for zero, of logits and of duals; even the exponential of their sum counts as zero.
_NO_LOGIT, _NO_DUAL = -1e9, -80.0
# The logarithm of a dual that is practically zero, but may grow again.
NEARLY_NONE = float(np.exp(-20))


@dataclass(frozen=True, eq=False)
class Duals:
    """The state of dual ascent; a pass writes to its arrays, which are all float32 or all float64.

    Attributes
    ----------
    log_probs
        ``(n, W)``: for each row the log of a distribution over the classes.
    weight
        ``(d + 1, W)``, the bias last: the sum over the rows of ``strength * (target - distribution) * features``.
    offset
        ``(W,)``, added to all logits.
    """

    log_probs: Real
    weight: Real
    offset: Real


@dataclass(frozen=True)
class Omissions:
    """The changes that a pass leaves out, to save time.

    Attributes
    ----------
    least_dual
        Where the duals of neighbouring classes are all below this, they stay as they are and their logits are not
        computed; with 0 all are computed.
    negligible
        Changes of neighbouring duals that are all below this are not made, and the weights do not change for them.
    """

    least_dual: float = 0.0
    negligible: float = 0.0


class _DualProblem(ctypes.Structure):
    """The struct of the same name in dual_ascent.h."""

    _fields_ = (
        ("visits", ctypes.c_int64),
        ("features", ctypes.c_int64),
        ("classes", ctypes.c_int64),
        ("order", ctypes.c_void_p),
        ("ends", ctypes.c_void_p),
        ("columns", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
        ("offset", ctypes.c_void_p),
        ("strength", ctypes.c_void_p),
        ("least_dual", ctypes.c_double),
        ("negligible", ctypes.c_double),
        ("log_probs", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("loss", ctypes.c_double),
        ("gap", ctypes.c_double),
    )


def duals_of(probs: npt.NDArray[np.floating], weight: Real, offset: npt.NDArray[np.float64]) -> Duals:
    """Return a state whose duals are given distributions, with the weights that belong to them.

    Parameters
    ----------
    probs
        ``(n, K)`` distributions.
    weight
        ``(d + 1, W)``; it becomes part of the state, and passes change it.
    offset
        ``(K,)``, added to all logits.
    """
    num_classes = len(offset)
    log_probs = zeros_at_line((len(probs), weight.shape[1]), weight.dtype)
    log_probs[:, num_classes:] = _NO_DUAL
    np.log(np.maximum(probs, np.exp(_NO_DUAL)), out=log_probs[:, :num_classes])
    wide_offset = np.full(weight.shape[1], _NO_LOGIT, weight.dtype)
    wide_offset[:num_classes] = offset
    return Duals(log_probs, weight, as_real(wide_offset, weight.dtype))


def duals_at_targets(
    target: npt.NDArray[np.int64], features: int, offset: npt.NDArray[np.float64], label_smoothing: float = 0.0
) -> Duals:
    """Return a float32 state whose duals are the targets of n rows; the weights that belong to them are zero.

    Parameters
    ----------
    target
        ``(n,)`` class indices below K.
    features
        d.
    offset
        ``(K,)``, added to all logits.
    label_smoothing
        Share of each target that goes evenly to all classes.
    """
    least = max(label_smoothing / len(offset), NEARLY_NONE)
    probs = np.full((len(target), len(offset)), least, np.float32)
    probs[np.arange(len(target)), target] = 1 - label_smoothing + label_smoothing / len(offset)
    return duals_of(probs, zeros_at_line((features + 1, padded_classes(len(offset))), np.float32), offset)


def ascend(
    rows: SparseRows,
    target: npt.NDArray[np.int64] | None,
    duals: Duals,
    num_classes: int,
    strength: Real,
    order: npt.NDArray[np.int64],
    omissions: Omissions,
) -> tuple[float, float]:
    """Set the dual of one row after another to its best value, in one thread.

    Parameters
    ----------
    rows
        The n rows, of the dtype of the duals.
    target
        ``(n,)`` class indices: for the loss, and so that the target's class is never left out; or None.
    duals
        Where to begin; written.
    num_classes
        K.
    strength
        ``(n,)`` weight of each row divided by the penalty, which includes the square of the bias; rows with 0 are
        skipped.
    order
        The rows to visit, in their order.
    omissions
        What to leave out.

    Returns
    -------
    loss, gap
        Sums over the rows of strength times the cross entropy (0 without targets), and of strength times the divergence
        from the dual to the softmax of the logits, each as it was when the pass visited the row. The second sum, for
        weights that do not change, bounds the distance of the objective from its optimum. Both are meaningless if
        classes are left out.
    """
    _check(rows, target, duals, num_classes, strength, order)
    problem = _DualProblem(visits=len(order), features=len(duals.weight) - 1, classes=num_classes)
    problem.order, problem.ends = order.ctypes.data, rows.ends.ctypes.data
    problem.columns, problem.values = rows.columns.ctypes.data, rows.values.ctypes.data
    problem.target = None if target is None else target.ctypes.data
    problem.offset, problem.strength = duals.offset.ctypes.data, strength.ctypes.data
    problem.least_dual, problem.negligible = omissions.least_dual, omissions.negligible
    problem.log_probs, problem.weight = duals.log_probs.ctypes.data, duals.weight.ctypes.data
    _kernel(duals.weight.dtype == np.float64)(ctypes.byref(problem))
    return float(problem.loss), float(problem.gap)


def _check(
    rows: SparseRows,
    target: npt.NDArray[np.int64] | None,
    duals: Duals,
    num_classes: int,
    strength: Real,
    order: npt.NDArray[np.int64],
) -> None:
    n, elements, dtype = len(duals.log_probs), len(rows.values), duals.weight.dtype
    width = padded_classes(num_classes)
    check_array("the elements", rows.values, (elements,), dtype)
    check_array("the columns", rows.columns, (elements,), np.int32)
    check_ends("the ends of rows", rows.ends, n, elements)
    check_array("the duals", duals.log_probs, (n, width), dtype)
    check_array("the weight", duals.weight, (len(duals.weight), width), dtype)
    check_array("the offset", duals.offset, (width,), dtype)
    check_array("the strength", strength, (n,), dtype)
    check_array("the order", order, (len(order),), np.int64)
    if target is not None:
        check_array("the target", target, (n,), np.int64)


@functools.cache
def _kernel(wide: bool) -> Callable[..., None]:
    library = open_library(_DualProblem)
    library.crossent_dual_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 2)
    addresses = library.crossent_dual_kernels(info().level.encode()).contents
    return ctypes.CFUNCTYPE(None, ctypes.POINTER(_DualProblem))(addresses[int(wide)])
