"""Softmax regression: linear logits, fitted to the optimum of the penalised cross entropy."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from crossent.data.table import Features
from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.losses.arrays import mean_cross_entropy
from crossent.models.model import Examples
from crossent.solver.data import RegressionData
from crossent.solver.path import PATH_TOLERANCE, PENALTY_PATH, gains_no_more
from crossent.solver.regression import Coefficients, Penalty, linear_logits, rows_of_table, solve_softmax_regression
from crossent.train.monitor import EpochRecord, OnEpoch

DEFAULT_C = 1.0
TOLERANCE = 1e-6
MAX_STEPS = 100


@dataclass(frozen=True, eq=False)
class FittedSoftmaxRegression:
    """Weights of a softmax regression.

    Attributes
    ----------
    weight
        ``(p + L, K)`` float64: p number features, then all codes of all categories.
    bias
        ``(K,)`` float64.
    cardinalities
        Number of codes of each category; they sum to L.
    """

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    cardinalities: tuple[int, ...]

    def __post_init__(self) -> None:
        rows, classes = self.weight.shape
        if self.bias.shape != (classes,) or sum(self.cardinalities) > rows:
            raise ValueError(f"weight {self.weight.shape}, bias {self.bias.shape} and {self.cardinalities} do not fit")

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits."""
        return linear_logits(_rows(features), Coefficients(self.weight, self.bias)).astype(np.float32)


@dataclass(frozen=True)
class SoftmaxRegression:
    """Softmax regression with an L2 penalty.

    Attributes
    ----------
    C
        Inverse penalty strength as in scikit-learn's ``LogisticRegression``; None tries several, strong to weak, and
        keeps the one with the lowest loss on rows held out.
    """

    C: float | None = None
    name: ClassVar[str] = "linear"

    def fit(
        self, train: Examples, valid: Examples | None, *, rng: np.random.Generator, on_epoch: OnEpoch
    ) -> FittedSoftmaxRegression:
        """Fit to training rows; the solution is unique, so that `rng` has no say in it."""
        del rng
        if self.C is not None or valid is None:
            path: tuple[float, ...] = (self.C or DEFAULT_C,)
        else:
            path = PENALTY_PATH
        return _fit_path(train, valid, path, on_epoch)


def _fit_path(
    train: Examples, valid: Examples | None, path: tuple[float, ...], on_epoch: OnEpoch
) -> FittedSoftmaxRegression:
    data = RegressionData(_rows(train.features), RowTargets(train.target, None, None), train.classes)
    best = Coefficients(np.zeros((data.rows.features, train.classes)), train.log_prior())
    progress = _Progress(valid, (len(path) + 1) * MAX_STEPS, on_epoch)

    def solve(start: Coefficients, C: float, tolerance: float) -> Coefficients:  # noqa: N803 - scikit-learn's name
        return solve_softmax_regression(
            data,
            start,
            Penalty(C, np.ones(data.rows.features)),
            tolerance=tolerance,
            max_steps=MAX_STEPS,
            on_step=progress.on_step,
        ).coefficients

    chosen, losses = path[0], list[float]()
    for C in path if len(path) > 1 else ():  # noqa: N806
        current = solve(best, C, PATH_TOLERANCE)
        losses.append(progress.valid_loss(current))
        if gains_no_more(losses):
            break
        best, chosen = current, C
        if progress.stopped:
            break
    if not progress.stopped:
        best = solve(best, chosen, TOLERANCE)
    return FittedSoftmaxRegression(best.weight, best.bias, train.features.cardinalities)


class _Progress:
    """Counts steps over the whole path and tells whoever watches."""

    def __init__(self, valid: Examples | None, epochs: int, on_epoch: OnEpoch) -> None:
        self._valid = valid
        self._rows = None if valid is None else _rows(valid.features)
        self._epochs = epochs
        self._on_epoch = on_epoch
        self._epoch = 0
        self.stopped = False

    def on_step(self, train_loss: float, coefficients: Coefficients) -> bool:
        self._epoch += 1
        record = EpochRecord(
            model=SoftmaxRegression.name,
            fold=1,
            folds=1,
            epoch=self._epoch,
            epochs=self._epochs,
            train_loss=train_loss,
            valid_loss=self.valid_loss(coefficients),
        )
        self.stopped = self._on_epoch(record) or self.stopped
        return self.stopped

    def valid_loss(self, coefficients: Coefficients) -> float:
        if self._valid is None or self._rows is None:
            return float("nan")
        logits = linear_logits(self._rows, coefficients)
        return mean_cross_entropy(logits, self._valid.target)


def _rows(features: Features) -> FeatureRows:
    """Return the features as the solver takes them: numbers first, then category after category."""
    numbers = features.numbers.shape[1]
    first = numbers + np.cumsum((0, *features.cardinalities))[:-1]
    return rows_of_table(features.numbers, features.codes + first, numbers + sum(features.cardinalities))
