"""The kernel of dual ascent: a pass over sparse rows that betters a softmax regression at each, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.fits import check_array, check_ends
from crossent.kernels.library import info
from crossent.kernels.regression import Real, SparseRows, as_real, padded_classes, zeros_at_line

# Logs of nothing, as logits and as duals: even their product counts for nothing.
_NO_LOGIT, _NO_DUAL = -1e9, -80.0
# A dual that is to be zero, in a class that may still want it.
NEARLY_NONE = float(np.exp(-20))


@dataclass(frozen=True, eq=False)
class Duals:
    """Where dual ascent stands; a pass writes to its arrays, all float32 or all float64.

    Attributes
    ----------
    log_probs
        ``(n, W)``: for each row the log of a distribution over the classes.
    weight
        ``(d + 1, W)``, the bias last: the sum over the rows of strength times features times what the target has more
        than the distribution.
    offset
        ``(W,)``, added to all logits.
    """

    log_probs: Real
    weight: Real
    offset: Real


@dataclass(frozen=True)
class Omissions:
    """What a pass leaves out.

    Attributes
    ----------
    least_dual
        Where the duals of neighbouring classes are all below, they stay as they are and their logits are not computed;
        0 leaves none out.
    negligible
        Changes of neighbouring duals that are all below are not made, nor those of the weights that belong to them.
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
    """Return duals that are some distributions, and the weights that belong to them.

    Parameters
    ----------
    probs
        ``(n, K)`` distributions.
    weight
        ``(d + 1, W)``, kept and changed by the passes.
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
    """Return float32 duals that are the targets of n rows: the weights that belong to them are zero.

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
        ``(n,)`` weight of each row by the penalty, the bias's square included in the latter; rows of 0 are left alone.
    order
        Which rows, in which order.
    omissions
        What to leave out.

    Returns
    -------
    loss, gap
        Sums over the rows of strength times, each as it was when the pass came by, the cross entropy (0 without
        targets) and the divergence from the dual to the softmax of the logits. The latter, summed for weights that
        stay, is by how much the objective is above its optimum at most. Neither means anything where classes are left
        out.
    """
    _check(rows, target, duals, num_classes, strength, order)
    problem = _DualProblem(len(order), len(duals.weight) - 1, num_classes)
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
    found = info()
    library = ctypes.CDLL(found.path)
    library.crossent_dual_kernels.restype = ctypes.POINTER(ctypes.c_void_p * 2)
    addresses = library.crossent_dual_kernels(found.level.encode()).contents
    return ctypes.CFUNCTYPE(None, ctypes.POINTER(_DualProblem))(addresses[int(wide)])
