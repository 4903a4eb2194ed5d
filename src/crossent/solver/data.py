"""What a softmax regression is fitted to."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossent.kernels.regression import FeatureRows, RowTargets


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

    def total_weight(self) -> float:
        """Return the sum of the weights of the rows, times the sums of their distributions."""
        weight = self.targets.row_weight
        if self.targets.distribution is None:
            return float(len(self.rows)) if weight is None else float(weight.sum(dtype=np.float64))
        sums = self.targets.distribution.sum(axis=1, dtype=np.float64)
        return float(sums.sum() if weight is None else (sums * weight).sum())

    def class_totals(self) -> npt.NDArray[np.float64]:
        """Return ``(K,)``: how much of that each class has."""
        weight, target = self.targets.row_weight, self.targets.target
        if target is not None:
            return np.bincount(target, weight, self.num_classes).astype(np.float64)
        assert self.targets.distribution is not None
        ones = np.ones(len(self.rows), self.rows.dense.dtype)
        return np.asarray((ones if weight is None else weight) @ self.targets.distribution, np.float64)
