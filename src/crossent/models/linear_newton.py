"""Softmax regression on dense rows: Newton's method, over a path of penalties where held-out rows choose one."""

import numpy as np

from crossent.models.linear_rows import LinearSolution, dense_rows, row_targets, without_log_prior
from crossent.models.model import Task
from crossent.monitoring.records import EpochRecord
from crossent.solver.data import RegressionData
from crossent.solver.path import PATH_TOLERANCE, PENALTY_PATH, gains_no_more
from crossent.solver.regression import (
    Coefficients,
    Penalty,
    linear_logits,
    solve_softmax_regression,
    start_at_prior,
)

DEFAULT_C = 1.0
TOLERANCE = 1e-6
MAX_STEPS = 100


def fit_by_newton(C: float | None, task: Task) -> LinearSolution:  # noqa: N803 - scikit-learn's name
    """Fit to training rows without n-grams; the solution is unique, and nothing is drawn.

    Parameters
    ----------
    C
        Inverse penalty; None takes the one of `PENALTY_PATH` with the lowest loss on held-out rows, where there are
        some.
    task
        The rows, and what is to be minimised.
    """
    path = PENALTY_PATH if C is None and task.valid is not None else (C or DEFAULT_C,)
    train = task.train
    data = RegressionData(dense_rows(train.features), row_targets(train, task.objective), train.classes)
    best = start_at_prior(data)
    progress = _Progress(task, (len(path) + 1) * MAX_STEPS)

    def solve(start: Coefficients, C: float, tolerance: float) -> Coefficients:  # noqa: N803
        return solve_softmax_regression(
            data,
            start,
            Penalty(C, np.ones(data.rows.features)),
            tolerance=tolerance,
            max_steps=MAX_STEPS,
            on_step=progress.on_step,
        ).coefficients

    chosen, losses = path[0], list[float]()
    for strength in path if len(path) > 1 else ():
        current = solve(best, strength, PATH_TOLERANCE)
        losses.append(progress.valid_loss(current))
        if gains_no_more(losses):
            break
        best, chosen = current, strength
        if progress.stopped:
            break
    if not progress.stopped:
        best = solve(best, chosen, TOLERANCE)
    return LinearSolution(best.weight, without_log_prior(best.bias, task.objective), chosen)


class _Progress:
    """Counts steps over the whole path, and passes them on as epochs."""

    def __init__(self, task: Task, epochs: int) -> None:
        self._task = task
        self._rows = None if task.valid is None else dense_rows(task.valid.features)
        self._epochs = epochs
        self._epoch = 0
        self.stopped = False

    def on_step(self, train_loss: float, coefficients: Coefficients) -> bool:
        self._epoch += 1
        record = EpochRecord(
            model=self._task.name,
            fold=1,
            folds=1,
            epoch=self._epoch,
            epochs=self._epochs,
            train_loss=train_loss,
            valid_loss=self.valid_loss(coefficients),
        )
        self.stopped = self._task.on_epoch(record) or self.stopped
        return self.stopped

    def valid_loss(self, coefficients: Coefficients) -> float:
        valid, objective = self._task.valid, self._task.objective
        if valid is None or self._rows is None:
            return float("nan")
        bias = without_log_prior(coefficients.bias, objective)
        logits = linear_logits(self._rows, Coefficients(coefficients.weight, bias))
        return objective.held_out_loss(logits, valid.target, valid.weight)
