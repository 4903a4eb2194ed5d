"""What a softmax regression is fitted to."""

from dataclasses import dataclass

import numpy as np

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
