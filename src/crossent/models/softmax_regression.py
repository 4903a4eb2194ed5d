"""Softmax regression: linear logits, fitted to the optimum of the penalised cross entropy."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crossent.data.table import Features, Widths
from crossent.errors import SettingError
from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.models.model import Examples
from crossent.models.objective import Objective
from crossent.monitoring.records import EpochRecord, OnEpoch
from crossent.solver.data import RegressionData
from crossent.solver.path import PATH_TOLERANCE, PENALTY_PATH, gains_no_more
from crossent.solver.regression import (
    Coefficients,
    Penalty,
    linear_logits,
    rows_of_table,
    solve_softmax_regression,
    start_at_prior,
)
from crossent.train.checkpoint import Checkpoint
from crossent.train.processes import Processes
from crossent.value_checks import LARGEST_WEIGHT, check_bounded, check_cardinalities

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
        check_linear(self.weight, self.bias, self.cardinalities)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.bias)

    def reads(self, widths: Widths) -> bool:
        """Say whether it is for rows of these widths."""
        return widths == Widths(len(self.weight) - sum(self.cardinalities), self.cardinalities, 0)

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits."""
        return linear_logits(_rows(features), Coefficients(self.weight, self.bias)).astype(np.float32)


def check_linear(weight: npt.NDArray[Any], bias: npt.NDArray[Any], cardinalities: tuple[int, ...]) -> None:
    """Check ``(d, K)`` weights, a ``(K,)`` bias, and how many of the d features are codes of each category.

    Raises
    ------
    ValueError
        If they do not fit each other, or are so large that a logit could be infinite.
    """
    if weight.ndim != 2 or bias.shape != weight.shape[1:]:
        raise ValueError(f"weight {weight.shape} and bias {bias.shape} do not fit")
    check_cardinalities(cardinalities, len(weight))
    check_bounded("the weight", weight, LARGEST_WEIGHT)
    check_bounded("the bias", bias, LARGEST_WEIGHT)


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
        self,
        train: Examples,
        valid: Examples | None,
        *,
        objective: Objective,
        rng: np.random.Generator,
        on_epoch: OnEpoch,
        checkpoint: Checkpoint | None = None,  # noqa: ARG002 - a fit that was interrupted is done anew
        processes: Processes | None = None,  # noqa: ARG002 - the one that leads fits alone
    ) -> FittedSoftmaxRegression:
        """Fit to training rows; the solution is unique, so that `rng` has no say in it.

        Raises
        ------
        SettingError
            If the objective is the focal loss, which is not convex.
        """
        del rng
        check_convex(objective)
        if self.C is not None or valid is None:
            path: tuple[float, ...] = (self.C or DEFAULT_C,)
        else:
            path = PENALTY_PATH
        return _fit_path(train, valid, path, objective, on_epoch)


def _fit_path(
    train: Examples, valid: Examples | None, path: tuple[float, ...], objective: Objective, on_epoch: OnEpoch
) -> FittedSoftmaxRegression:
    data = RegressionData(_rows(train.features), row_targets(train, objective), train.classes)
    best = start_at_prior(data)
    progress = _Progress(valid, objective, (len(path) + 1) * MAX_STEPS, on_epoch)

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
    return FittedSoftmaxRegression(best.weight, without_log_prior(best.bias, objective), train.features.cardinalities)


def row_targets(train: Examples, objective: Objective) -> RowTargets:
    """Return what the rows are to be, and their weights."""
    distribution = objective.distribution(train.learned_target, train.classes)
    target = train.target if distribution is None else None
    return RowTargets(target, distribution, objective.row_weight(train.learned_target))


def without_log_prior(bias: npt.NDArray[Any], objective: Objective) -> npt.NDArray[Any]:
    """Return the bias of a model whose logits the loss adds the log-prior to.

    The bias has no penalty, so that the best sum of the two is the best bias of the loss that adds nothing.
    """
    return bias if objective.log_prior is None else (bias - objective.log_prior).astype(bias.dtype)


def check_convex(objective: Objective) -> None:
    """Check that an objective has one optimum.

    Raises
    ------
    SettingError
        If it is the focal loss.
    """
    if objective.focal_gamma:
        raise SettingError(
            "Softmax regression is fitted to the one optimum of its loss.",
            "imbalance is 'focal', a loss that is not convex and may have several.",
            "Take imbalance logit-adjust or class-weight, or, for tables without text, model boosting.",
        )


class _Progress:
    """Counts steps over the whole path and tells whoever watches."""

    def __init__(self, valid: Examples | None, objective: Objective, epochs: int, on_epoch: OnEpoch) -> None:
        self._valid = valid
        self._objective = objective
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
        bias = without_log_prior(coefficients.bias, self._objective)
        logits = linear_logits(self._rows, Coefficients(coefficients.weight, bias))
        return self._objective.held_out_loss(logits, self._valid.target)


def _rows(features: Features) -> FeatureRows:
    """Return the features as the solver takes them: numbers first, then category after category."""
    numbers = features.numbers.shape[1]
    first = numbers + np.cumsum((0, *features.cardinalities))[:-1]
    return rows_of_table(features.numbers, features.codes + first, numbers + sum(features.cardinalities))
