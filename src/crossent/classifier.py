"""The scikit-learn face: `Classifier` over `fit`."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from crossent.data.column import Kind
from crossent.data.dataset import Dataset
from crossent.data.folder import TEXT
from crossent.data.kinds import understand
from crossent.data.labels import encode_labels
from crossent.data.read import is_texts, read_table
from crossent.fit import fit
from crossent.predictor import Predictor
from crossent.recipe import Recipe

_FIELDS = dataclasses.fields(Recipe)


def _signature() -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    settings = [inspect.Parameter(field.name, keyword, default=field.default) for field in _FIELDS]
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
        for field in _FIELDS:
            setattr(self, field.name, bound.arguments[field.name])

    # scikit-learn reads the parameters of an estimator off its constructor.
    __init__.__signature__ = _signature()  # type: ignore[attr-defined]

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train, choose and calibrate.

        Parameters
        ----------
        X
            ``(n, d)`` array, pandas or polars frame; or n texts: a list, series or array of strings.
        y
            ``(n,)`` labels: strings, integers or booleans.

        Raises
        ------
        DataError
            If there is one class only, or no column can be used.
        SettingError
            If a setting is out of bounds.
        """
        recipe = Recipe(**{field.name: getattr(self, field.name) for field in _FIELDS})
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        frame = self._frame(X, reset=True)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        _check_lengths(frame, labels)
        codes, classes = encode_labels(labels, "y")
        # A list of strings says what it is, however short they are.
        kinds: dict[str, Kind] = {TEXT: "text"} if is_texts(X) else {}
        used, columns = understand(frame, kinds)
        dataset = Dataset(frame=used, columns=columns, target=codes, classes=classes, target_name="y")
        self.classes_ = np.unique(labels)
        self.predictor_: Predictor = fit(dataset, recipe).predictor
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return ``(n, K)`` probabilities, under the class prior of the training data."""
        check_is_fitted(self)
        return self.predictor_.probs(self._frame(X, reset=False))

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return ``(n, K)`` log-probabilities."""
        check_is_fitted(self)
        return self.predictor_.log_probs(self._frame(X, reset=False))

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable label of each row."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predictor_.logits(self._frame(X, reset=False)).argmax(axis=1)])

    def save(self, path: str | Path) -> None:
        """Write the predictor to a folder, from which `crossent.load` reads it."""
        check_is_fitted(self)
        self.predictor_.save(path)

    def _frame(self, X: Any, *, reset: bool) -> pd.DataFrame:  # noqa: N803
        """Check as scikit-learn does, keeping the types of a frame's columns."""
        if is_texts(X):
            if reset:
                self.n_features_in_ = 1
            return read_table(X)
        if hasattr(X, "columns"):
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


def _check_lengths(frame: pd.DataFrame, labels: npt.NDArray[Any]) -> None:
    if len(frame) != len(labels):
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[len(frame), len(labels)]}")


Classifier.__doc__ = str(Classifier.__doc__).format(
    parameters="\n    ".join(f"{field.name}\n        {field.metadata['help']}" for field in _FIELDS)
)
