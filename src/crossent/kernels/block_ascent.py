"""The kernel of dual ascent: a pass over sparse rows that betters a softmax regression at each, by ctypes."""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.library import info
from crossent.kernels.regression import SparseRows, padded_classes

Floats = npt.NDArray[np.float32]

# Logs of nothing, as logits and as duals.
_NO_LOGIT, _NO_DUAL = -1e9, -80.0
# The log of a dual that is to be zero, in a class that may still want it.
_NEARLY_NONE = -20.0


@dataclass(frozen=True, eq=False)
class Duals:
    """Where dual ascent stands; a pass writes to its arrays.

    Attributes
    ----------
    log_probs
        ``(n, W)`` float32: for each row the log of a distribution over the classes.
    weight
        ``(d + 1, W)`` float32, the bias last: C times the sum over the rows of features times what the target has more
        than the distribution.
    offset
        ``(W,)`` float32, added to all logits.
    """

    log_probs: Floats
    weight: Floats
    offset: Floats


class _BlockAscentProblem(ctypes.Structure):
    """The struct of the same name in block_ascent.h."""

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
        ("C", ctypes.c_double),
        ("least_dual", ctypes.c_double),
        ("log_probs", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("loss", ctypes.c_double),
        ("gap", ctypes.c_double),
    )


def duals_at_targets(target: npt.NDArray[np.int64], features: int, offset: npt.NDArray[np.float64]) -> Duals:
    """Return duals that are one at the target of each of n rows: the weights that belong to them are zero.

    Parameters
    ----------
    target
        ``(n,)`` class indices below K.
    features
        d.
    offset
        ``(K,)``, added to all logits.
    """
    num_classes = len(offset)
    width = padded_classes(num_classes)
    log_probs = np.full((len(target), width), _NO_DUAL, np.float32)
    log_probs[:, :num_classes] = _NEARLY_NONE
    log_probs[np.arange(len(target)), target] = 0
    wide_offset = np.full(width, _NO_LOGIT, np.float32)
    wide_offset[:num_classes] = offset
    return Duals(log_probs, np.zeros((features + 1, width), np.float32), wide_offset)


def ascend(
    rows: SparseRows,
    target: npt.NDArray[np.int64],
    duals: Duals,
    num_classes: int,
    C: float,  # noqa: N803 - the name that scikit-learn gave it
    order: npt.NDArray[np.int64],
    least_dual: float,
) -> tuple[float, float]:
    """Set the dual of one row after another to its best value, in one thread.

    Parameters
    ----------
    rows
        The n rows, float32.
    target
        ``(n,)`` class indices.
    duals
        Where to begin; written.
    num_classes
        K.
    C
        Inverse penalty: ``C * sum of cross entropy + ||weight||^2 / 2`` is minimised, the bias's square included.
    order
        Which rows, in which order.
    least_dual
        Where the duals of neighbouring classes are all below, they stay as they are and their logits are not computed;
        0 leaves none out.

    Returns
    -------
    loss, gap
        Sums over the rows, each as it was when the pass came by: of the cross entropies, and of the divergences from
        the duals to the softmax of the logits. The latter, summed for weights that stay, is by how much the objective
        over C is above its optimum at most. Neither means anything where classes are left out.
    """
    problem = _BlockAscentProblem(len(order), len(duals.weight) - 1, num_classes, order.ctypes.data)
    problem.ends, problem.columns, problem.values = (
        rows.ends.ctypes.data,
        rows.columns.ctypes.data,
        rows.values.ctypes.data,
    )
    problem.target, problem.offset = target.ctypes.data, duals.offset.ctypes.data
    problem.C, problem.least_dual = C, least_dual
    problem.log_probs, problem.weight = duals.log_probs.ctypes.data, duals.weight.ctypes.data
    _kernel()(ctypes.byref(problem))
    return float(problem.loss), float(problem.gap)


@functools.cache
def _kernel() -> Callable[..., None]:
    found = info()
    library = ctypes.CDLL(found.path)
    library.crossent_block_ascent_kernel.restype = ctypes.c_void_p
    address = library.crossent_block_ascent_kernel(found.level.encode())
    return ctypes.CFUNCTYPE(None, ctypes.POINTER(_BlockAscentProblem))(address)
