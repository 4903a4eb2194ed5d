"""`Classifier`, the scikit-learn estimator that uses `fit`."""

import copy
import inspect
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_is_fitted, column_or_1d, validate_data

from crossent.array_checks import weight_array
from crossent.calibration.conformal_groups import By
from crossent.calibration.conformity import Method
from crossent.calibration.prior import Prior
from crossent.data.dataset import Dataset
from crossent.data.folder import TEXT
from crossent.data.labels import encode_labels
from crossent.data.read import is_texts, read_table
from crossent.data.soft_labels import draw_labels, is_distribution, read_distribution
from crossent.data.understand import understand
from crossent.data.weights import from_shares, unusual_weights, weights_that_differ
from crossent.decide.decide import DecisionRule, Decisions
from crossent.decide.thresholds import LabelScore
from crossent.fitting.fit import fit
from crossent.fitting.recipe import flat_fields, recipe_of
from crossent.names import check_distinct
from crossent.predictor import Predictor

_FIELDS = flat_fields()


def _signature() -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    settings = [inspect.Parameter(name, keyword, default=field.default) for name, field in _FIELDS.items()]
    return inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *settings])


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A multiclass classifier with calibrated probabilities, for arrays, frames and texts.

    Columns may hold numbers, categories, booleans, dates and free text, with missing values; kinds are inferred.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_
        ``(K,)`` labels; the columns of `predict_proba` are in this order.
    predictor_
        The frozen `Predictor` that the estimator uses.
    n_features_in_, feature_names_in_
        As in every scikit-learn estimator.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = Classifier(model="linear").fit(X, y)
    >>> classifier.predict_proba(X).shape
    (150, 3)
    """

    def __init__(self, **settings: Any) -> None:
        bound = _signature().bind(self, **settings)
        bound.apply_defaults()
        for name in _FIELDS:
            setattr(self, name, bound.arguments[name])

    # scikit-learn reads the parameters of an estimator from its constructor.
    __init__.__signature__ = _signature()  # type: ignore[attr-defined]

    def set_params(self, **params: Any) -> Self:
        """Set settings by name, as in every scikit-learn estimator; ``boosting__learning_rate`` is one of boosting.

        Raises
        ------
        ValueError
            If there is no setting of that name.
        """
        for name in params:
            if name not in _FIELDS:
                raise ValueError(f"Classifier has no setting {name!r}; they are {', '.join(_FIELDS)}.")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train, choose and calibrate.

        Parameters
        ----------
        X
            ``(n, d)`` array, pandas or polars frame; or n texts: a list, series or array of strings.
        y
            ``(n,)`` labels: strings, integers or booleans. Or the shares of the classes in each row, which sum to one:
            a frame, whose columns are the classes, or a floating array ``(n, K)``, whose classes are 0 to K - 1. Models
            then learn the shares; held-out rows are judged and calibrated by labels drawn from their shares.
        sample_weight
            ``(n,)``, 0 or above: how many rows each row counts as, in training, in the choice of the model, in its
            calibration and in what `predict_sets` and `abstains` promise. A row of weight 2 is the same as two such
            rows, and one of weight 0 is the same as none. Weights that sum to 1, as scikit-learn's AdaBoost gives them,
            are taken for shares of the rows. None: each row counts as one.

        Raises
        ------
        DataError
            If there is one class only, no column can be used, or a weight is negative.
        ShapeError
            If shares of classes do not sum to one.
        SettingError
            If a setting is out of bounds. Whatever ends `fit` before its end, the estimator stays as it was before.
        """
        draft = copy.copy(self)
        draft._learn(X, y, sample_weight)
        # One assignment: an error or Ctrl-C leaves either the old model or the new one, never labels of one beside
        # probabilities of the other.
        self.__dict__ = draft.__dict__
        return self

    def _learn(self, X: Any, y: Any, sample_weight: Any) -> None:  # noqa: N803
        recipe = recipe_of({name: getattr(self, name) for name in _FIELDS})
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        frame = self._frame(X, reset=True)
        weight, counted = _read_weight(sample_weight, len(frame))
        _check_lengths(frame, y)
        frame = frame if counted.all() else frame[counted].reset_index(drop=True)
        target = _read_target(y if counted.all() else _safe_indexing(y, np.flatnonzero(counted)), recipe.seed)
        # A list of strings is text, even if the strings are short.
        kinds: dict[str, str] = {TEXT: "text"} if is_texts(X) else {}
        used, columns = understand(frame, kinds)
        dataset = Dataset(
            frame=used,
            columns=columns,
            target=target.codes,
            classes=tuple(target.classes.tolist()),
            target_name="y",
            distribution=target.distribution,
            weight=weight,
        )
        self.classes_ = target.classes
        self.predictor_: Predictor = fit(dataset, recipe).predictor

    def decide(self, X: Any, rule: DecisionRule) -> Decisions:  # noqa: N803
        """Return what a rule decides for rows: probabilities, labels, sets and rows to give to a person, all at once.

        The other methods that predict are short forms of it.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        rule
            What is asked; its settings may be combined.

        Raises
        ------
        SettingError, ShapeError
            If a setting does not fit the classes, or asks for a promise that the held-out rows cannot give.

        Examples
        --------
        >>> from crossent import DecisionRule
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> decisions = Classifier(model="linear").fit(X, y).decide(X, DecisionRule(top=2, risk=0.25))
        >>> decisions.predicted.shape, decisions.top.shape, decisions.abstains.mean().round(3)
        ((150,), (150, 2), np.float64(0.0))
        """
        check_is_fitted(self)
        return self.predictor_.decide(self._frame(X, reset=False), rule)

    def predict_proba(
        self,
        X: Any,  # noqa: N803
        *,
        prior: Prior | Literal["estimate"] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` probabilities.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        prior
            Shares of the classes that the rows come from: ``"uniform"``, ``(K,)`` shares in the order of `classes_`, or
            a mapping of labels to shares; ``"estimate"`` finds them from the rows themselves. None stands for the
            shares of the training data.

        Raises
        ------
        SettingError
            If the prior does not fit the classes.
        """
        return self.decide(X, DecisionRule(prior=prior)).probs

    def predict_log_proba(
        self,
        X: Any,  # noqa: N803
        *,
        prior: Prior | Literal["estimate"] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Return ``(n, K)`` log-probabilities; arguments and errors as in `predict_proba`."""
        return self.decide(X, DecisionRule(prior=prior)).log_probs

    def predict(
        self,
        X: Any,  # noqa: N803
        *,
        prior: Prior | Literal["estimate"] | None = None,
        costs: npt.ArrayLike | None = None,
        scoring: str | LabelScore | None = None,
    ) -> npt.NDArray[Any]:
        """Return a label for each row: the most probable, the one of lowest expected cost, or the best for a score.

        With a remedy of imbalance it is the most probable class under the class shares that the remedy assumes, so that
        rare classes are found more often; the probabilities do not change. If a prior, costs or a score are given, they
        decide in place of the remedy.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        prior
            As in `predict_proba`.
        costs
            ``(K, K)``: the cost of predicting the class of the column if the class of the row is true, not negative.
        scoring
            A scikit-learn scorer of labels, such as ``"f1_macro"``: the threshold of each class is tuned for it on
            training rows that the model was not fitted to, as in `crossent.tune_thresholds`.

        Raises
        ------
        SettingError
            If the costs do not fit the classes, the score is unknown, or both are given.
        """
        decisions = self.decide(X, DecisionRule(prior=prior, costs=costs, scoring=scoring, seed=self.seed))
        return np.asarray(self.classes_[decisions.predicted])

    def abstains(
        self,
        X: Any,  # noqa: N803
        *,
        risk: float,
        prior: Prior | None = None,
        costs: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.bool_]:
        """Return ``(n,)``: True for rows to give to a person, so that at most a share `risk` of the others is wrong.

        These are the rows whose predicted label is the least probable. The promise is about the labels that `predict`
        gives with the same prior and costs, and holds with 95 % probability, by `crossent.threshold_for_risk`, on
        training rows that the model was not fitted to. Labels chosen by a score come from `decide`, together with the
        rows to hand over: their thresholds are then tuned on other rows than those that the promise rests on.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        risk
            Share of the answers that may be wrong, between 0 and 1.
        prior, costs
            As in `predict`; the prior must be known.

        Raises
        ------
        SettingError
            If no part of the rows can be answered at that risk; it says at which it can.
        """
        return np.asarray(self.decide(X, DecisionRule(prior=prior, costs=costs, risk=risk, seed=self.seed)).abstains)

    def predict_sets(
        self,
        X: Any,  # noqa: N803
        *,
        coverage: float = 0.9,
        method: Method = "lac",
        by: By = "overall",
        prior: Prior | None = None,
    ) -> npt.NDArray[np.bool_]:
        """Return ``(n, K)``: the labels that each row may have, the right one among them in a share of the cases.

        The promise is based on training rows that neither the models nor the calibration were fitted to; they are drawn
        and kept in `fit`. Several models are combined as in CV+, whose coverage is near the promise too.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        coverage, method, by
            As in `crossent.conformal_sets`.
        prior
            As in `predict_proba`, but known: the promise is then for rows with these shares of the classes.

        Raises
        ------
        SettingError
            If there are too few rows for the coverage; it says how many it takes.
        """
        rule = DecisionRule(prior=prior, coverage=coverage, method=method, by=by, seed=self.seed)
        return np.asarray(self.decide(X, rule).sets)

    def save(self, path: str | Path) -> None:
        """Write the predictor to a folder, from which `crossent.load` reads it."""
        check_is_fitted(self)
        self.predictor_.save(path)

    def _frame(self, X: Any, *, reset: bool) -> pd.DataFrame:  # noqa: N803
        """Check as scikit-learn does, keeping the types of a frame's columns."""
        if is_texts(X):
            if reset:
                self.n_features_in_ = 1
                self.__dict__.pop("feature_names_in_", None)
            return read_table(X)
        if hasattr(X, "columns"):
            check_distinct(map(str, X.columns), f"The {type(X).__name__}")
            validate_data(self, X, reset=reset, skip_check_array=True)
            return read_table(X)
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False)
        return read_table(array)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


@dataclass(frozen=True, eq=False)
class _Target:
    """Class indices, the K labels, and the shares that the indices are drawn from, where there are some."""

    codes: npt.NDArray[np.int64]
    classes: npt.NDArray[Any]
    distribution: npt.NDArray[np.float32] | None


def _read_target(y: Any, seed: int) -> _Target:
    if is_distribution(y):
        distribution, classes = read_distribution(y)
        # A separate generator, so that the draws of folds and models do not change.
        (rng,) = np.random.default_rng(seed).spawn(1)
        return _Target(draw_labels(distribution, rng), np.array(classes), distribution)
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    codes, _ = encode_labels(labels, "y")
    return _Target(codes, np.unique(labels), None)


def _read_weight(sample_weight: Any, rows: int) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.bool_]]:
    """Return the weights of the rows that count, None where each counts as one, and which rows these are."""
    if sample_weight is None:
        return None, np.ones(rows, np.bool_)
    given = np.full(rows, sample_weight) if np.isscalar(sample_weight) else sample_weight
    weight = weight_array("sample_weight", given, rows)
    counted = weight > 0
    weight, _ = from_shares(weight)
    for note in unusual_weights(weight[counted]):
        warnings.warn(note, stacklevel=4)
    return weights_that_differ(weight[counted]), counted


def _check_lengths(frame: pd.DataFrame, y: Any) -> None:
    if (rows := _num_samples(y)) != len(frame):
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[len(frame), rows]}")


Classifier.__doc__ = str(Classifier.__doc__).format(
    parameters="\n    ".join(f"{name}\n        {field.metadata['help']}" for name, field in _FIELDS.items())
)
