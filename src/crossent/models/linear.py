"""Softmax regression: logits that are linear in all features, fitted to the optimum of the penalised cross entropy.

**Shape.** ``n`` rows, ``K`` classes, ``d = p + L + t`` features: p numbers, then all L codes of all categories, then t
n-grams. Dense rows are fitted by Newton's method (`linear_newton`), rows with n-grams by dual coordinate ascent
(`linear_ascent`).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crossent.kinds.blocks import Features, Widths
from crossent.lazy import lazy_property
from crossent.models.linear_ascent import fit_by_ascent
from crossent.models.linear_newton import fit_by_newton
from crossent.models.linear_rows import dense_rows, sparse_logits, sparse_matrix
from crossent.models.model import Task
from crossent.models.settings import Linear
from crossent.solver.regression import Coefficients, linear_logits
from crossent.value_checks import LARGEST_WEIGHT, check_bounded, check_cardinalities


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """Weights of a softmax regression.

    Attributes
    ----------
    weight
        ``(d, K)`` float32.
    bias
        ``(K,)`` float32.
    numbers
        p.
    cardinalities
        Number of codes of each category; they sum to L.
    C
        Its inverse penalty strength; None where the file that it was loaded from does not say.

    Raises
    ------
    ValueError
        If they do not fit each other, or are so large that a logit could be infinite.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    numbers: int
    cardinalities: tuple[int, ...]
    C: float | None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[1:]:
            raise ValueError(f"weight {self.weight.shape} and bias {self.bias.shape} do not fit")
        check_cardinalities(self.cardinalities, len(self.weight))
        if not 0 <= self.numbers <= len(self.weight) - sum(self.cardinalities):
            raise ValueError(f"{self.numbers} numbers do not fit {len(self.weight)} features")
        check_bounded("the weight", self.weight, LARGEST_WEIGHT)
        check_bounded("the bias", self.bias, LARGEST_WEIGHT)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.bias)

    @property
    def _ngrams(self) -> int:
        return len(self.weight) - self.numbers - sum(self.cardinalities)

    def reads(self, widths: Widths) -> bool:
        """Say whether it is for rows of these widths."""
        return widths == Widths(self.numbers, self.cardinalities, self._ngrams)

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits."""
        if features.ngrams is None:
            return linear_logits(dense_rows(features), self._wide).astype(np.float32)
        return sparse_logits(sparse_matrix(features), self.weight, self.bias)

    def ngram_weight(self) -> npt.NDArray[np.float32]:
        """Return the ``(t, K)`` float32 weights of the n-grams."""
        return self.weight[len(self.weight) - self._ngrams :]

    @lazy_property
    def _wide(self) -> Coefficients:
        return Coefficients(self.weight.astype(np.float64), self.bias.astype(np.float64))


def fit(settings: Linear, task: Task) -> FittedLinear:
    """Fit to training rows; held-out rows choose the penalty where the settings give none."""
    features = task.train.features
    fit_rows = fit_by_newton if features.ngrams is None else fit_by_ascent
    solution = fit_rows(settings.C, task)
    return FittedLinear(
        weight=np.ascontiguousarray(solution.weight, np.float32),
        bias=solution.bias.astype(np.float32),
        numbers=features.numbers.shape[1],
        cardinalities=features.cardinalities,
        C=solution.C,
    )


def settings_for_all_rows(settings: Linear, fits: tuple[FittedLinear, ...]) -> Linear:
    """Return the settings of a fit to all rows: with the middle, on a log scale, of the penalties that folds chose."""
    chosen = [fitted.C for fitted in fits if fitted.C is not None]
    return replace(settings, C=float(np.exp(np.mean(np.log(chosen)))))
