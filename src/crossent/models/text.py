"""Softmax regression on text, and on whatever stands beside it: sparse rows, by dual coordinate ascent."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse

from crossent.calibration.temperature import best_temperature
from crossent.data.table import Features, Widths
from crossent.kernels.regression import FeatureRows, SparseRows
from crossent.logits import mean_cross_entropy
from crossent.models.model import Examples
from crossent.models.objective import Objective
from crossent.models.softmax_regression import check_convex, check_linear, row_targets, without_log_prior
from crossent.monitoring.records import EpochRecord, OnEpoch
from crossent.solver.block_ascent import solve_by_block_ascent
from crossent.solver.data import RegressionData
from crossent.solver.regression import Penalty, solve_softmax_regression, start_at_prior
from crossent.threads import processors
from crossent.train.checkpoint import Checkpoint
from crossent.train.processes import Processes

# Chosen by what rows held out lose after a temperature: a strong penalty's faint logits are as good as any.
PATH = (2.0, 8.0, 32.0, 128.0)
DEFAULT_C = 32.0
# Share of the loss that the optimum may be below: no held-out loss tells more.
TOLERANCE = 0.05
MAX_PASSES = 24
# With rows of several classes: Newton's method, to a share of the objective so small that probabilities differ by less
# than 1e-4, with kernels and without.
NEWTON_TOLERANCE, NEWTON_STEPS = 1e-8, 50
# Rows whose logits are computed at once in each thread.
CHUNK = 2048


@dataclass(frozen=True, eq=False)
class FittedTextRegression:
    """Weights of a softmax regression on text.

    Attributes
    ----------
    weight
        ``(p + L + t, K)`` float32: p numbers, then all L codes of all categories, then t n-grams.
    bias
        ``(K,)`` float32.
    cardinalities
        Number of codes of each category; they sum to L.
    C
        Its inverse penalty strength.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    cardinalities: tuple[int, ...]
    C: float

    def __post_init__(self) -> None:
        check_linear(self.weight, self.bias, self.cardinalities)

    @property
    def classes(self) -> int:
        """K."""
        return len(self.bias)

    def reads(self, widths: Widths) -> bool:
        """Say whether it is for rows of these widths."""
        return widths.cardinalities == self.cardinalities and widths.total == len(self.weight)

    def logits(self, features: Features) -> npt.NDArray[np.float32]:
        """Return ``(n, K)`` float32 logits."""
        matrix = matrix_of(features)
        logits = np.empty((len(features), len(self.bias)), np.float32)

        def fill(begin: int) -> None:
            chunk = slice(begin, begin + CHUNK)
            logits[chunk] = matrix[chunk] @ self.weight + self.bias

        with ThreadPoolExecutor(processors()) as pool:
            list(pool.map(fill, range(0, len(features), CHUNK)))
        return logits


@dataclass(frozen=True)
class TextRegression:
    """Softmax regression with an L2 penalty, for tables with columns of text.

    Attributes
    ----------
    C
        Inverse penalty strength as in scikit-learn's ``LogisticRegression``; None tries several and keeps the one whose
        logits, divided by the temperature that suits them best, have the lowest loss on rows held out.
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
    ) -> FittedTextRegression:
        """Fit to training rows; each penalty counts as one epoch.

        Raises
        ------
        SettingError
            If the objective is the focal loss, which is not convex.
        """
        check_convex(objective)
        seed = int(rng.integers(2**31))
        if valid is None:
            return _fit(train, self.C or DEFAULT_C, objective, seed).model
        path = PATH if self.C is None else (self.C,)
        progress = _Progress(valid, objective, len(path), on_epoch)
        fits: list[_Fit] = []
        losses: list[float] = []
        # Two at a time, for a fit takes one thread; and no further, once the weaker penalty of the two is the worse.
        with ThreadPoolExecutor(2) as pool:
            while len(losses) < len(path) and not progress.stopped and (not losses or losses[-1] == min(losses)):
                following = path[len(fits) : len(fits) + 2]
                fits += pool.map(lambda strength: _fit(train, strength, objective, seed), following)
                losses += [progress.on_fit(fit) for fit in fits[len(losses) :]]
        return fits[int(np.argmin(losses))].model


class _Progress:
    """Judges fits by rows held out, and tells whoever watches."""

    def __init__(self, valid: Examples, objective: Objective, epochs: int, on_epoch: OnEpoch) -> None:
        self._valid = valid
        self._objective = objective
        self._epochs = epochs
        self._on_epoch = on_epoch
        self._epoch = 0
        self.stopped = False

    def on_fit(self, fit: "_Fit") -> float:
        """Return the loss of rows held out with the temperature that suits them."""
        self._epoch += 1
        logits, target = fit.model.logits(self._valid.features), self._valid.target
        if self._objective.restoring is not None:
            logits = (logits + self._objective.restoring).astype(np.float32)
        record = EpochRecord(
            model=TextRegression.name,
            fold=1,
            folds=1,
            epoch=self._epoch,
            epochs=self._epochs,
            train_loss=fit.train_loss,
            valid_loss=mean_cross_entropy(logits, target),
        )
        self.stopped = self._on_epoch(record) or self.stopped
        return mean_cross_entropy(logits / best_temperature(logits, target), target)


def matrix_of(features: Features) -> scipy.sparse.csr_array:
    """Return all features as ``(n, p + L + t)`` compressed sparse rows: numbers, then codes, then n-grams."""
    n, q = features.codes.shape
    blocks = [scipy.sparse.csr_array(features.numbers)]
    if q:
        columns = features.codes + np.cumsum((0, *features.cardinalities))[:-1]
        ends = np.arange(n + 1, dtype=np.int64) * q
        shape = (n, sum(features.cardinalities))
        blocks.append(scipy.sparse.csr_array((np.ones(n * q, np.float32), columns.ravel(), ends), shape=shape))
    if features.texts is not None:
        blocks.append(features.texts)
    kept = [block for block in blocks if block.shape[1]]
    return kept[0] if len(kept) == 1 else scipy.sparse.hstack(kept, format="csr")


@dataclass(frozen=True, eq=False)
class _Fit:
    """A model and its mean cross entropy on the rows that it was fitted to."""

    model: FittedTextRegression
    train_loss: float


def _fit(train: Examples, C: float, objective: Objective, seed: int) -> _Fit:  # noqa: N803 - scikit-learn's name
    matrix = matrix_of(train.features)
    sparse = SparseRows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    rows = FeatureRows(np.empty((len(train.target), 0), np.float32), sparse, matrix.shape[1])
    row_weight = objective.row_weight(train.learned_target)
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
    return _Fit(FittedTextRegression(np.ascontiguousarray(weight), bias, train.features.cardinalities, C), loss)


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
    found = solution.coefficients
    return found.weight.astype(np.float32), found.bias.astype(np.float32), solution.optimum.loss
