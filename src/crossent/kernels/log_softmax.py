"""The kernel of log-probabilities of NumPy logits, by ctypes."""

import ctypes
import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from crossent.kernels.library import info, open_library
from crossent.kernels.regression import Real


class _LogSoftmaxProblem(ctypes.Structure):
    """The struct of the same name in log_softmax.h."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("classes", ctypes.c_int64),
        ("logits", ctypes.c_void_p),
        ("wide", ctypes.c_int64),
        ("log_probs", ctypes.c_void_p),
    )


def write_log_softmax(logits: Real, log_probs: npt.NDArray[np.float64]) -> None:
    """Write the log-probabilities of logits, in one thread.

    Parameters
    ----------
    logits
        ``(n, K)`` float32 or float64, contiguous.
    log_probs
        ``(n, K)``, contiguous: written. A row with a NaN, with infinity, or with nothing above minus infinity is NaN.
    """
    if logits.shape != log_probs.shape or not (logits.flags.c_contiguous and log_probs.flags.c_contiguous):
        raise ValueError(f"logits {logits.shape} and log_probs {log_probs.shape} do not fit, or are not contiguous")
    wide = int(logits.dtype == np.float64)
    rows, classes = logits.shape
    problem = _LogSoftmaxProblem(
        rows=rows, classes=classes, logits=logits.ctypes.data, wide=wide, log_probs=log_probs.ctypes.data
    )
    _kernel()(ctypes.byref(problem))


@functools.cache
def _kernel() -> Callable[..., None]:
    library = open_library(_LogSoftmaxProblem)
    library.crossent_log_softmax_kernel.restype = ctypes.c_void_p
    prototype = ctypes.CFUNCTYPE(None, ctypes.POINTER(_LogSoftmaxProblem))
    return prototype(library.crossent_log_softmax_kernel(info().level.encode()))
