"""Softmax regression on text, and on whatever stands beside it: sparse rows, by dual coordinate ascent."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from crossent.calibration.temperature import best_temperature
from crossent.kernels.regression import FeatureRows, SparseRows
from crossent.logits import mean_cross_entropy
from crossent.models.linear_rows import LinearSolution, row_targets, sparse_logits, sparse_matrix, without_log_prior
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.monitoring.records import EpochRecord
from crossent.solver.block_ascent import solve_by_block_ascent
from crossent.solver.data import RegressionData
from crossent.solver.regression import Penalty, solve_softmax_regression, start_at_prior

# Chosen by what held-out rows lose after a temperature: a strong penalty's faint logits are as good as any.
PATH = (2.0, 8.0, 32.0, 128.0)
DEFAULT_C = 32.0
# Share of the loss that the optimum may be below: no held-out loss tells more.
TOLERANCE = 0.05
MAX_PASSES = 24
# With rows of several classes: Newton's method, to a share of the objective so small that probabilities differ by less
# than 1e-4, with kernels and without.
NEWTON_TOLERANCE, NEWTON_STEPS = 1e-8, 50


def fit_by_ascent(C: float | None, task: Task) -> LinearSolution:  # noqa: N803 - scikit-learn's name
    """Fit to training rows with n-grams; each penalty counts as one epoch.

    Parameters
    ----------
    C
        Inverse penalty; None takes the one of `PATH` whose logits, divided by the temperature that suits them best,
        have the lowest loss on held-out rows, where there are some.
    task
        The rows, and what is to be minimised.
    """
    train, objective = task.train, task.objective
    seed = int(task.rng.integers(2**31))
    if task.valid is None:
        return _fit(train, C or DEFAULT_C, objective, seed).solution
    path = PATH if C is None else (C,)
    progress = _Progress(task, task.valid, len(path))
    fits: list[_Fit] = []
    losses: list[float] = []
    # Two at a time, for a fit takes one thread; and no further, once the weaker penalty of the two is the worse.
    with ThreadPoolExecutor(2) as pool:
        while len(losses) < len(path) and not progress.stopped and (not losses or losses[-1] == min(losses)):
            following = path[len(fits) : len(fits) + 2]
            fits += pool.map(lambda strength: _fit(train, strength, objective, seed), following)
            losses += [progress.on_fit(fit) for fit in fits[len(losses) :]]
    return fits[int(np.argmin(losses))].solution


@dataclass(frozen=True, eq=False)
class _Fit:
    """A solution and its mean cross entropy on the rows that it was fitted to."""

    solution: LinearSolution
    train_loss: float


class _Progress:
    """Judges fits by held-out rows, and passes them on as epochs."""

    def __init__(self, task: Task, valid: Examples, epochs: int) -> None:
        self._task = task
        self._valid, self._matrix = valid, sparse_matrix(valid.features)
        self._epochs = epochs
        self._epoch = 0
        self.stopped = False

    def on_fit(self, fit: _Fit) -> float:
        """Return the loss of held-out rows at the temperature that suits them."""
        self._epoch += 1
        logits = sparse_logits(self._matrix, fit.solution.weight, fit.solution.bias)
        target, weight = self._valid.target, self._valid.weight
        prior_correction = self._task.objective.prior_correction
        if prior_correction is not None:
            logits = (logits + prior_correction).astype(np.float32)
        record = EpochRecord(
            model=self._task.name,
            fold=1,
            folds=1,
            epoch=self._epoch,
            epochs=self._epochs,
            train_loss=fit.train_loss,
            valid_loss=mean_cross_entropy(logits, target, weight),
        )
        self.stopped = self._task.on_epoch(record) or self.stopped
        return mean_cross_entropy(logits / best_temperature(logits, target, weight), target, weight)


def _fit(train: Examples, C: float, objective: Objective, seed: int) -> _Fit:  # noqa: N803 - scikit-learn's name
    rows = _feature_rows(sparse_matrix(train.features))
    row_weight = objective.row_weight(train.learned_target, train.weight)
    # Ascent of the dual is for rows of one class each.
    if train.distribution is None:
        solution = solve_by_block_ascent(
            rows,
            train.target,
            _weighted_log_prior(train, objective),
            strength=np.full(len(train.target), C, np.float32) if row_weight is None else np.float32(C) * row_weight,
            label_smoothing=objective.label_smoothing,
            tolerance=TOLERANCE,
            max_passes=MAX_PASSES,
            rng=np.random.default_rng(seed),
        )
        weight, bias, loss = solution.weight, solution.bias, solution.loss
    else:
        weight, bias, loss = _fit_by_newton(rows, train, C, objective)
    bias = without_log_prior(bias, objective)
    return _Fit(LinearSolution(np.ascontiguousarray(weight), bias, C), loss)


def _feature_rows(matrix: scipy.sparse.csr_array) -> FeatureRows:
    sparse = SparseRows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    return FeatureRows(np.empty((matrix.shape[0], 0), np.float32), sparse, matrix.shape[1])


def _weighted_log_prior(train: Examples, objective: Objective) -> npt.NDArray[np.float64]:
    if objective.class_weight is None:
        return train.log_prior()
    weighted = np.exp(train.log_prior()) * objective.class_weight
    return np.asarray(np.log(weighted / weighted.sum()))


def _fit_by_newton(
    rows: FeatureRows,
    train: Examples,
    C: float,  # noqa: N803
    objective: Objective,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]:
    data = RegressionData(rows, row_targets(train, objective), train.classes)
    solution = solve_softmax_regression(
        data,
        start_at_prior(data),
        Penalty(C, np.ones(rows.features)),
        tolerance=NEWTON_TOLERANCE,
        max_steps=NEWTON_STEPS,
        on_step=lambda _loss, _coefficients: False,
    )
    coefficients = solution.coefficients
    return coefficients.weight.astype(np.float32), coefficients.bias.astype(np.float32), solution.optimum.loss
