"""The rows that a softmax regression is fitted to."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.regression import FeatureRows, RowTargets, SparseRows


@dataclass(frozen=True, eq=False)
class RegressionData:
    """Rows to fit.

    Attributes
    ----------
    rows
        The n rows of d features.
    targets
        Class indices or distributions, and weights of the rows.
    num_classes
        K.
    """

    rows: FeatureRows
    targets: RowTargets
    num_classes: int

    def take(self, chosen: npt.NDArray[np.int64]) -> "RegressionData":
        """Return a copy of some of the rows."""
        rows, targets = self.rows, self.targets
        elements = None
        if rows.sparse is not None:
            ends = rows.sparse.ends
            sizes = ends[chosen + 1] - ends[chosen]
            new_ends = np.concatenate([[0], np.cumsum(sizes)])
            places = np.arange(new_ends[-1]) + np.repeat(ends[chosen] - new_ends[:-1], sizes)
            elements = SparseRows(new_ends, rows.sparse.columns[places], rows.sparse.values[places])
        return RegressionData(
            FeatureRows(rows.dense[chosen], elements, rows.features),
            RowTargets(
                None if targets.target is None else targets.target[chosen],
                None if targets.distribution is None else targets.distribution[chosen],
                None if targets.row_weight is None else targets.row_weight[chosen],
            ),
            self.num_classes,
        )

    def total_weight(self) -> float:
        """Return the sum of the weights of the rows, times the sums of their distributions."""
        weight = self.targets.row_weight
        if self.targets.distribution is None:
            return float(len(self.rows)) if weight is None else float(weight.sum(dtype=np.float64))
        sums = self.targets.distribution.sum(axis=1, dtype=np.float64)
        return float(sums.sum() if weight is None else (sums * weight).sum())

    def class_totals(self) -> npt.NDArray[np.float64]:
        """Return the ``(K,)`` part of this sum for each class."""
        weight, target = self.targets.row_weight, self.targets.target
        if target is not None:
            return np.bincount(target, weight, self.num_classes).astype(np.float64)
        assert self.targets.distribution is not None
        ones = np.ones(len(self.rows), self.rows.dense.dtype)
        return np.asarray((ones if weight is None else weight) @ self.targets.distribution, np.float64)
