"""The scikit-learn face: `Classifier` over `fit`."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from crossent.calibration.conformal import By
from crossent.calibration.conformity import Method
from crossent.data.dataset import Dataset
from crossent.data.folder import TEXT
from crossent.data.labels import encode_labels
from crossent.data.read import is_texts, read_table
from crossent.data.soft_labels import draw_labels, is_distribution, read_distribution
from crossent.data.understand import understand
from crossent.decide.labels import minimum_cost
from crossent.decide.thresholds import LabelScore, apply_thresholds, tune_thresholds
from crossent.errors import SettingError
from crossent.fitting.fit import fit
from crossent.fitting.recipe import flat_fields, recipe_of
from crossent.kinds.column import Label
from crossent.logits import log_softmax
from crossent.names import check_distinct
from crossent.predictor import Predictor, probs_under

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
        The frozen `Predictor` behind this face.
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

    # scikit-learn reads the parameters of an estimator off its constructor.
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

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train, choose and calibrate.

        Parameters
        ----------
        X
            ``(n, d)`` array, pandas or polars frame; or n texts: a list, series or array of strings.
        y
            ``(n,)`` labels: strings, integers or booleans. Or the shares of the classes in each row, which sum to one:
            a frame, whose columns are the classes, or a floating array ``(n, K)``, whose classes are 0 to K - 1. Models
            then learn the shares; rows held out are judged and calibrated by labels drawn from theirs.

        Raises
        ------
        DataError
            If there is one class only, or no column can be used.
        ShapeError
            If shares of classes do not sum to one.
        SettingError
            If a setting is out of bounds. Whatever ends `fit` before its end, the estimator stays as it was before.
        """
        draft = copy.copy(self)
        draft._learn(X, y)
        # One assignment: an error or Ctrl-C leaves either the old model or the new one, never labels of one beside
        # probabilities of the other.
        self.__dict__ = draft.__dict__
        return self

    def _learn(self, X: Any, y: Any) -> None:  # noqa: N803
        recipe = recipe_of({name: getattr(self, name) for name in _FIELDS})
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        frame = self._frame(X, reset=True)
        target = _read_target(y, recipe.seed)
        _check_lengths(frame, target.codes)
        # A list of strings says what it is, however short they are.
        kinds: dict[str, str] = {TEXT: "text"} if is_texts(X) else {}
        used, columns = understand(frame, kinds)
        dataset = Dataset(
            frame=used,
            columns=columns,
            target=target.codes,
            classes=tuple(target.classes.tolist()),
            target_name="y",
            distribution=target.distribution,
        )
        self.classes_ = target.classes
        self.predictor_: Predictor = fit(dataset, recipe).predictor

    def predict_proba(
        self,
        X: Any,  # noqa: N803
        *,
        prior: Literal["uniform", "estimate"] | npt.ArrayLike | Mapping[Label, float] | None = None,
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
        check_is_fitted(self)
        predictor = self.predictor_
        return probs_under(predictor, predictor.logits(self._frame(X, reset=False)), prior)

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return ``(n, K)`` log-probabilities, under the class shares of the training data."""
        check_is_fitted(self)
        return self.predictor_.log_probs(self._frame(X, reset=False))

    def predict(
        self,
        X: Any,  # noqa: N803
        *,
        costs: npt.ArrayLike | None = None,
        scoring: str | LabelScore | None = None,
    ) -> npt.NDArray[Any]:
        """Return a label for each row: the most probable, the one of lowest expected cost, or the best for a score.

        With a remedy of imbalance it is the most probable in a world where the classes are as common as the remedy made
        them look, so that rare classes are found more often; the probabilities do not change.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        costs
            ``(K, K)``: what it costs to predict the class of the column where that of the row is true, not negative.
        scoring
            A scikit-learn scorer of labels, as ``"f1_macro"``: the threshold of each class is tuned for it on training
            rows that the model was not fitted to, as in `crossent.tune_thresholds`.

        Raises
        ------
        SettingError
            If the costs do not fit the classes, the score is unknown, or both are given.
        """
        check_is_fitted(self)
        if costs is not None and scoring is not None:
            raise SettingError("Labels are chosen by costs or by a score.", "Both are given.", "Give one of them.")
        predictor = self.predictor_
        logits = predictor.logits(self._frame(X, reset=False))
        if costs is not None:
            positions = minimum_cost(np.exp(log_softmax(logits)), costs)
        elif scoring is not None:
            tuned = tune_thresholds(predictor.apart_probs(), predictor.apart.target, scoring=scoring, seed=self.seed)
            positions = apply_thresholds(np.exp(log_softmax(logits)), tuned.values)
        else:
            positions = predictor.deciding_logits(logits).argmax(axis=1)
        return np.asarray(self.classes_[positions])

    def abstains(self, X: Any, *, risk: float) -> npt.NDArray[np.bool_]:  # noqa: N803
        """Return ``(n,)``: True for rows to hand to a person, so that at most a share `risk` of the others is wrong.

        These are the rows whose most probable label is the least probable. The promise is about that label, and holds
        with 95 % probability, by `crossent.threshold_for_risk`, on training rows that the model was not fitted to.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        risk
            Share of the answers that may be wrong, between 0 and 1.

        Raises
        ------
        SettingError
            If no part of the rows can be answered at that risk; it says at which it can.
        """
        check_is_fitted(self)
        return self.predictor_.abstains(np.exp(self.predict_log_proba(X)), risk)

    def predict_sets(
        self,
        X: Any,  # noqa: N803
        *,
        coverage: float = 0.9,
        method: Method = "lac",
        by: By = "overall",
    ) -> npt.NDArray[np.bool_]:
        """Return ``(n, K)``: the labels that each row may have, the right one among them in a share of the cases.

        The promise rests on training rows that neither the models nor the calibration were fitted to; they are drawn
        and kept in `fit`. Several models are combined as in CV+, whose coverage is near the promise too.

        Parameters
        ----------
        X
            Rows, as in `fit`.
        coverage, method, by
            As in `crossent.conformal_sets`.

        Raises
        ------
        SettingError
            If there are too few rows for the coverage; it says how many it takes.
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        return self.predictor_.prediction_sets(frame, coverage=coverage, method=method, by=by, seed=self.seed)

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
        # A generator apart from the one that folds and models draw from.
        (rng,) = np.random.default_rng(seed).spawn(1)
        return _Target(draw_labels(distribution, rng), np.array(classes), distribution)
    labels = column_or_1d(y, warn=True)
    check_classification_targets(labels)
    codes, _ = encode_labels(labels, "y")
    return _Target(codes, np.unique(labels), None)


def _check_lengths(frame: pd.DataFrame, codes: npt.NDArray[np.int64]) -> None:
    if len(frame) != len(codes):
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[len(frame), len(codes)]}")


Classifier.__doc__ = str(Classifier.__doc__).format(
    parameters="\n    ".join(f"{name}\n        {field.metadata['help']}" for name, field in _FIELDS.items())
)
