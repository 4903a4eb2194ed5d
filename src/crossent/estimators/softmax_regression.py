"""`SoftmaxRegression`, the scikit-learn estimator that uses the solver."""

import copy
import numbers
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from crossent.data.batches import open_number_batches
from crossent.errors import DataError, SettingError
from crossent.kernels.regression import FeatureRows, RowTargets, SparseRows, as_real
from crossent.solver.data import RegressionData
from crossent.solver.path import PENALTY_PATH, choose_penalty
from crossent.solver.regression import (
    Coefficients,
    Penalty,
    Solution,
    linear_logits,
    solve_softmax_regression,
    solve_stream,
    start_at_prior,
)
from crossent.solver.stream import draw_sample

Real = npt.NDArray[np.float32] | npt.NDArray[np.float64]

# Up to this number of rows, penalties are compared by cross-validation; with more, one row in HELD_OUT is held out.
MOST_CROSS_VALIDATED = 10_000
FOLDS, HELD_OUT = 5, 10


class SoftmaxRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Softmax regression with a penalty, fitted to its optimum.

    The objective is the same as in scikit-learn's ``LogisticRegression``: ``C * sum of cross entropy + ||coef||^2 /
    2``, where intercepts are not penalised; with an L1 penalty ``l1_ratio * |coef| + (1 - l1_ratio) * ||coef||^2 / 2``.
    float32 and sparse rows are used directly, without a copy in float64.

    Parameters
    ----------
    C
        Inverse penalty strength, above 0; infinite for no penalty. ``"auto"`` tries ten, from 1e-4 to 1e4, and takes
        the one with the lowest log-loss in 5-fold cross-validation, or, of more than 10,000 rows, on a tenth held out.
    l1_ratio
        Share of the L1 penalty, from 0 (L2 alone) to 1 (L1 alone), which makes many weights zero.
    penalty_factor
        ``(d,)``, not negative: a factor of the penalty of each feature, for instance 0 for a feature without penalty.
        None for equal penalties.
    class_weight
        A mapping of class to weight, or ``"balanced"`` for weights that give all classes the same total.
    tol
        It ends when a step is predicted to lower the objective by a smaller share than this.
    max_iter
        Largest number of Newton steps; about ten are common.
    warm_start
        Whether `fit` starts at the coefficients of the last fit, if features and classes are the same.

    Attributes
    ----------
    C_
        The strength used.
    losses_
        ``(10,)`` mean log-loss on held-out rows of the strengths that were tried, from strong to weak; NaN for weaker
        penalties after the path ended, because they gained no more. Only with ``C="auto"``.
    classes_
        ``(K,)`` labels, in the order of all columns; for soft targets their column numbers.
    coef_
        ``(K, d)`` float64 weights.
    intercept_
        ``(K,)`` float64.
    objective_
        The value of the objective.
    gap_
        Upper bound on the distance of the objective from its optimum, up to the rounding of sums in the dtype of `X`:
        by the strong convexity of the penalty, and for the intercepts, which have no penalty, by the curvature of the
        loss. Infinite if features have no penalty.
    n_iter_
        Steps taken.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxRegression(C=10.0).fit(X, y)
    >>> model.coef_.shape
    (3, 4)
    >>> bool(model.gap_ < 1e-4 * model.objective_)
    True
    """

    def __init__(
        self,
        C: float | Literal["auto"] = 1.0,  # noqa: N803 - scikit-learn's name
        *,
        l1_ratio: float = 0.0,
        penalty_factor: npt.ArrayLike | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        tol: float = 1e-6,
        max_iter: int = 100,
        warm_start: bool = False,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.penalty_factor = penalty_factor
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit to the optimum.

        Parameters
        ----------
        X
            ``(n, d)`` array or sparse matrix; or the path of a Parquet file of numbers and a column of labels, whose
            rows are read in batches for each pass, so that they may be more than memory holds.
        y
            With a path the name of the column of labels. Else ``(n,)`` labels, or ``(n, K)`` soft targets: floating,
            not negative, in rows that need not sum to one.
        sample_weight
            ``(n,)`` weights, not negative.

        Raises
        ------
        DataError
            If there is one class only, weights or soft targets cannot be used, or there is no penalty and the classes
            can be told apart without an error, so that there is no optimum.
        SettingError
            If a setting is out of bounds. Whatever ends `fit` before its end, the estimator stays as it was before.
        """
        draft = copy.copy(self)
        draft.__dict__.pop("losses_", None)
        solution = draft._learn(X, y, sample_weight)
        if not solution.optimum.converged:
            warnings.warn(
                f"The optimum was not reached in {draft.n_iter_} steps: the objective may be {draft.gap_:.3g} above "
                "it. Give more steps (max_iter), a larger tol, or a smaller C.",
                ConvergenceWarning,
                stacklevel=2,
            )
        # One assignment: an error or Ctrl-C leaves either the old model or the new one, never a part of each.
        self.__dict__ = draft.__dict__
        return self

    def _learn(self, X: Any, y: Any, sample_weight: Any) -> Solution:  # noqa: N803
        self._check_settings()
        if isinstance(X, str | Path):
            return self._learn_file(Path(X), y, sample_weight)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float32, np.float64], order="C")  # noqa: N806
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        rows = _feature_rows(X)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=X.dtype)
        if weight is not None and weight.min(initial=0) < 0:
            raise DataError("Weights are not negative.", f"The least is {weight.min()}.", "Give 0 to leave a row out.")
        classes, targets = self._targets(y, weight, rows)
        data = RegressionData(rows, targets, len(classes))
        if not data.total_weight() > 0:
            raise DataError(
                "At least one row has a weight and a target above zero.", "All are zero.", "Give some above zero."
            )
        penalty, start = self._penalty(rows.features), self._start(data, classes)
        if self.C == "auto":
            choice = choose_penalty(
                data, start, _folds(targets, rows), penalty=penalty, path=PENALTY_PATH, max_steps=self.max_iter
            )
            penalty, start, self.losses_ = replace(penalty, C=choice.C), choice.start, choice.losses
        solution = solve_softmax_regression(
            data, start, penalty, tolerance=self.tol, max_steps=self.max_iter, on_step=lambda *_: False
        )
        self._set_solution(solution, classes, penalty, data.total_weight())
        return solution

    def _learn_file(self, path: Path, target: Any, sample_weight: Any) -> Solution:
        if not isinstance(target, str) or sample_weight is not None or self.C == "auto" or self.l1_ratio > 0:
            raise SettingError(
                "fit(path, y) takes the name of a column as y, and only L2 penalties of one strength.",
                f"y is {target!r}, sample_weight {sample_weight!r}, C {self.C!r}, l1_ratio {self.l1_ratio!r}.",
                "Name the column of labels, or read the rows into memory.",
            )
        file = open_number_batches(path, target)
        self._check_classes(file.classes)
        of_class = self._class_weight(file.classes, file.counts)

        def batches() -> Iterator[RegressionData]:
            for features, codes in file:
                weight = None if of_class is None else as_real(of_class[codes], features.dtype)
                rows = FeatureRows(features, None, features.shape[1])
                yield RegressionData(rows, RowTargets(codes, None, weight), len(file.classes))

        weight = float(len(file) if of_class is None else of_class @ file.counts)
        penalty = self._penalty(len(file.features))
        sample = draw_sample(batches, len(file))
        solution = solve_stream(batches, weight, sample, penalty, tolerance=self.tol, max_steps=self.max_iter)
        self.n_features_in_ = len(file.features)
        self.feature_names_in_ = np.array(file.features, dtype=object)
        self._set_solution(solution, file.classes, penalty, weight)
        return solution

    def _class_weight(self, classes: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        if self.class_weight == "balanced":
            return np.asarray(counts.sum() / (len(counts) * counts))
        return np.array([float(self.class_weight.get(label, 1.0)) for label in classes.tolist()])

    def _check_classes(self, classes: npt.NDArray[Any]) -> None:
        if len(classes) < 2:
            raise DataError(
                "Training needs rows of two classes or more.",
                f"There is only 1 class, {classes[0]}.",
                "Give rows of other classes too.",
            )

    def _set_solution(self, solution: Solution, classes: npt.NDArray[Any], penalty: Penalty, weight: float) -> None:
        scale = weight if np.inf == penalty.C else penalty.C * weight
        self.C_ = penalty.C
        self.classes_ = classes
        self.coef_ = solution.coefficients.weight.T
        self.intercept_ = solution.coefficients.bias.copy()
        self.objective_ = solution.optimum.objective * scale
        self.gap_ = solution.optimum.gap * scale
        self.n_iter_ = max(solution.optimum.steps, 1)

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return ``(n, K)`` logits; for two classes ``(n,)``, the second minus the first, as in scikit-learn."""
        logits = self._logits(X)
        return np.asarray(logits[:, 1] - logits[:, 0]) if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return ``(n, K)`` probabilities."""
        return np.asarray(softmax(self._logits(X), axis=1))

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return ``(n, K)`` log-probabilities."""
        return np.asarray(log_softmax(self._logits(X), axis=1))

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable label of each row."""
        logits = self._logits(X)
        return np.asarray(self.classes_[logits.argmax(axis=1)])

    def _logits(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float32, np.float64], order="C", reset=False)  # noqa: N806
        return linear_logits(_feature_rows(X), Coefficients(self.coef_.T, self.intercept_))

    def _targets(self, y: Any, weight: Real | None, rows: FeatureRows) -> tuple[npt.NDArray[Any], RowTargets]:
        y = np.asarray(y)
        dtype = rows.dense.dtype
        if y.ndim == 2 and y.shape[1] > 1 and np.issubdtype(y.dtype, np.floating):
            self._check_soft(y, len(rows))
            distribution: Real = y.astype(np.float32 if dtype == np.float32 else np.float64, order="C")
            return np.arange(y.shape[1]), RowTargets(None, distribution, weight)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        if len(labels) != len(rows):
            raise ValueError(f"Found input variables with inconsistent numbers of samples: {[len(rows), len(labels)]}")
        classes, codes = np.unique(labels, return_inverse=True)
        self._check_classes(classes)
        if self.class_weight is not None:
            of_class = compute_class_weight(self.class_weight, classes=classes, y=labels, sample_weight=weight)
            of_rows: Real = of_class[codes].astype(dtype)
            weight = of_rows if weight is None else of_rows * weight
        return classes, RowTargets(codes.astype(np.int64), None, weight)

    def _check_soft(self, y: npt.NDArray[Any], n: int) -> None:
        if len(y) != n or not np.isfinite(y).all() or (y < 0).any():
            raise DataError(
                f"Soft targets are ({n}, K), finite and not negative.",
                f"Their shape is {y.shape}, their least value {y.min(initial=np.inf)}.",
                "Give a row of probabilities for each row of X.",
            )
        if self.class_weight is not None:
            raise SettingError(
                "class_weight is for labels.", "The targets are soft.", "Weigh the rows of y or use sample_weight."
            )

    def _start(self, data: RegressionData, classes: npt.NDArray[Any]) -> Coefficients:
        if self.warm_start and hasattr(self, "coef_"):
            same = self.coef_.shape == (len(classes), data.rows.features) and np.array_equal(self.classes_, classes)
            if same:
                return Coefficients(self.coef_.T, self.intercept_)
        return start_at_prior(data)

    def _penalty(self, features: int) -> Penalty:
        strength = 1.0 if self.C == "auto" else float(self.C)
        if self.penalty_factor is None:
            return Penalty(strength, np.ones(features), float(self.l1_ratio))
        factor = np.asarray(self.penalty_factor, dtype=np.float64)
        if factor.shape != (features,) or not np.isfinite(factor).all() or (factor < 0).any():
            raise SettingError(
                f"penalty_factor holds a number for each of {features} features, finite and not negative.",
                f"Its shape is {factor.shape}, its least value {factor.min(initial=np.inf)}.",
                "Give such numbers, or None for the same penalty of all.",
            )
        return Penalty(strength, factor, float(self.l1_ratio))

    def _check_settings(self) -> None:
        if self.C != "auto" and not (isinstance(self.C, numbers.Real) and float(self.C) > 0):
            raise SettingError('C is a number above 0 or "auto".', f"It is {self.C!r}.", "Give such a number.")
        if not (isinstance(self.l1_ratio, numbers.Real) and 0 <= float(self.l1_ratio) <= 1):
            raise SettingError("l1_ratio is a number from 0 to 1.", f"It is {self.l1_ratio!r}.", "Give such a number.")
        for name, value in (("tol", self.tol), ("max_iter", self.max_iter)):
            if not (isinstance(value, numbers.Real) and 0 < float(value) < np.inf):
                raise SettingError(f"{name} is a number above 0.", f"It is {value!r}.", "Give such a number.")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _feature_rows(X: Any) -> FeatureRows:  # noqa: N803
    if not scipy.sparse.issparse(X):
        return FeatureRows(X, None, X.shape[1])
    elements = SparseRows(
        X.indptr.astype(np.int64), X.indices.astype(np.int32, copy=False), np.ascontiguousarray(X.data)
    )
    return FeatureRows(np.empty((X.shape[0], 0), X.dtype), elements, X.shape[1])


def _folds(targets: RowTargets, rows: FeatureRows) -> npt.NDArray[np.int64]:
    """Return the fold of each row, with classes spread evenly over the folds; the same rows get the same folds."""
    order = np.random.default_rng(0).permutation(len(rows))
    if targets.target is not None:
        order = order[np.argsort(targets.target[order], kind="stable")]
    fold = np.empty(len(rows), np.int64)
    if len(rows) <= MOST_CROSS_VALIDATED:
        fold[order] = np.arange(len(rows)) % FOLDS
    else:
        fold[order] = np.where(np.arange(len(rows)) % HELD_OUT == 0, 0, -1)
    return fold
