"""The exact Hessian of a small softmax regression, from some of the rows, and its inverse."""

import numpy as np
import numpy.typing as npt
import scipy.linalg

from crossent.kernels.library import info
from crossent.kernels.regression import Real, as_real, couplings
from crossent.solver.data import RegressionData
from crossent.solver.passes import Divide, Passes
from crossent.solver.plain import plain_couplings
from crossent.solver.sample import take_sample

Array = npt.NDArray[np.float64]

# Number of rows from which the moments are computed: the first number for each weight, but at least the second.
ROWS_A_WEIGHT, FEWEST_ROWS = 5, 2048
# Largest number of rows that a thread processes at once, and smallest number of parts.
CHUNK, FEWEST_CHUNKS = 2048, 4
# Ridges that are added to a diagonal of ones, one after the other, until no eigenvalue is below zero by rounding.
RIDGES = (1e-7, 1e-5, 1e-3, 1.0)


def couple(data: RegressionData, passes: Passes, penalty: Array) -> Divide:
    """Return a function that divides by the Hessian of some rows.

    Parameters
    ----------
    data
        The rows.
    passes
        Holds the probabilities at the point of the Hessian.
    penalty
        ``(d + 1,)``, 0 for the bias.
    """
    d, num_classes = len(penalty), data.num_classes
    sample = take_sample(data, passes.probs(), max(ROWS_A_WEIGHT * d * num_classes, FEWEST_ROWS))
    unit = sample.largest()
    of_rows = couplings if info().available else plain_couplings

    def of_part(part: slice) -> Real:
        return of_rows(sample.features(part) / unit, as_real(sample.probs[part], unit.dtype), sample.weight[part])

    m = len(sample.weight)
    count = max(FEWEST_CHUNKS, -(-m // CHUNK))
    parts = passes.spread(of_part, [slice(m * i // count, m * (i + 1) // count) for i in range(count)])
    moments = np.asarray(np.sum(parts, axis=0, dtype=np.float64))
    factor, size = _factor(moments, np.tile(penalty / np.square(unit, dtype=np.float64), num_classes), num_classes)
    share = 1 / (size * np.tile(unit, num_classes))

    def divide(gradient: Real) -> Real:
        divided = np.zeros_like(gradient)
        flat, _ = scipy.linalg.lapack.dpotrs(factor, gradient[:, :num_classes].T.ravel() * share, lower=0)
        divided[:, :num_classes] = (flat * share).reshape(num_classes, d).T
        return divided

    return divide


def cost_of_coupling(n: int, weights: int) -> float:
    """Return the time to invert the Hessian for this number of weights, in products with the Hessian of n rows."""
    return min(n, max(ROWS_A_WEIGHT * weights, FEWEST_ROWS)) * weights / (20 * n) + weights**2 / (4 * n)


def _factor(moments: Array, penalty: Array, num_classes: int) -> tuple[Array, Array]:
    """Return the Cholesky factor of the matrix with its diagonal scaled to ones, and the roots of the old diagonal."""
    for ridge in RIDGES:
        hessian = _unfold(moments, num_classes, len(penalty) // num_classes)
        size = scale_to_ones(hessian, penalty, ridge)
        # The lower half of an array by rows is the upper half of an array by columns, which LAPACK expects.
        factor, failed = scipy.linalg.lapack.dpotrf(hessian.T, lower=0, clean=0, overwrite_a=1)
        if not failed:
            break
    return factor, size


def _unfold(moments: Array, num_classes: int, d: int) -> Array:
    """Return the lower half of ``(K * d, K * d)`` from triangles of pairs of classes and of features.

    The mode without curvature can be given any curvature; here it is the mean of the others.
    """
    of_classes, of_features = _places(num_classes), _places(d).ravel()
    diagonal = moments[np.ix_(of_classes.diagonal(), _places(d).diagonal())]
    common = np.diag(np.full(d, diagonal.mean() + 1e-12))
    matrix = np.zeros((num_classes * d,) * 2)
    for k in range(num_classes):
        blocks = moments[of_classes[k, : k + 1]].take(of_features, axis=1).reshape(k + 1, d, d)
        blocks += common
        matrix[k * d : (k + 1) * d, : (k + 1) * d] = blocks.transpose(1, 0, 2).reshape(d, -1)
    return matrix


def _places(n: int) -> npt.NDArray[np.int64]:
    """Return the ``(n, n)`` places of pairs in their triangle."""
    first, second = np.triu_indices(n)
    places = np.empty((n, n), np.int64)
    places[first, second] = places[second, first] = np.arange(len(first))
    return places


def scale_to_ones(moments: Array, penalty: Array, ridge: float) -> Array:
    """Add the penalty to the diagonal, scale it to ones with rows and columns, add a ridge; return the scale."""
    diagonal = np.einsum("ii->i", moments)
    diagonal += penalty
    # A class that is certain in all rows has no curvature, and its bias has no penalty.
    root = np.sqrt(np.maximum(diagonal, 1e-12 * diagonal.max() + 1e-300))
    moments /= root
    moments /= root[:, None]
    diagonal[:] = 1 + ridge
    return np.asarray(root)
