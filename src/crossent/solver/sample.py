"""A sample of rows that represents all rows when a Hessian is approximated."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.regression import FeatureRows, Real, as_real
from crossent.solver.data import RegressionData
from crossent.solver.plain import sparse_matrix

CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Sample:
    """A weighted sample of rows.

    Attributes
    ----------
    rows
        All n rows.
    chosen
        ``(m,)`` int64 positions of the rows of the sample.
    probs
        ``(m, K)``.
    weight
        ``(m,)``: the share of each in the mean over all rows.
    """

    rows: FeatureRows
    chosen: npt.NDArray[np.int64]
    probs: Real
    weight: Real

    def features(self, part: slice) -> Real:
        """Return ``(m, d + 1)`` features of some of the rows, all dense, ones at the end."""
        chosen = self.chosen[part]
        rows: Real = np.zeros((len(chosen), self.rows.features + 1), self.rows.dense.dtype)
        if self.rows.sparse is not None:
            rows[:, :-1] = sparse_matrix(self.rows)[chosen].toarray()
        rows[:, : self.rows.dense.shape[1]] += self.rows.dense[chosen]
        rows[:, -1] = 1
        return rows

    def largest(self) -> Real:
        """Return the ``(d + 1,)`` largest absolute values of features, or 1 for 0: units whose squares are finite."""
        units = np.zeros(self.rows.features + 1, self.rows.dense.dtype)
        for begin in range(0, len(self.chosen), CHUNK):
            np.maximum(units, np.abs(self.features(slice(begin, begin + CHUNK))).max(axis=0), out=units)
        units[units == 0] = 1
        return units


def take_sample(data: RegressionData, probs: Real, size: int) -> Sample:
    """Return rows at even steps through their shares of the Hessian's trace, weighted by what each represents.

    Parameters
    ----------
    data
        All n rows.
    probs
        ``(n, K)``.
    size
        Size of the sample, if there are more rows.
    """
    n, scale = len(data.rows), 1 / data.total_weight()
    weight, dtype = data.targets.row_weight, probs.dtype
    if n <= size:
        of_rows = np.full(n, scale) if weight is None else weight * scale
        return Sample(data.rows, np.arange(n), probs, as_real(of_rows, dtype))
    share = np.einsum("nk,nk->n", probs, probs)
    np.subtract(1, share, out=share)
    if weight is not None:
        share *= weight
    # Rows that are nearly certain count, too, because they may be less certain in later steps.
    share += share.dtype.type(1e-3 * float(share.mean(dtype=np.float64)) + 1e-30)
    ends = np.cumsum(share, dtype=np.float64)
    rows = np.searchsorted(ends, (np.arange(size) + 0.5) / size * ends[-1])
    of_rows = ends[-1] / (size * share[rows].astype(np.float64)) * scale
    if weight is not None:
        of_rows *= weight[rows]
    return Sample(data.rows, rows, probs[rows], as_real(of_rows, dtype))
