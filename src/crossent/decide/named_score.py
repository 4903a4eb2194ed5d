"""Scores of scikit-learn by their names, in a separate module, because importing scikit-learn takes long."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from crossent.errors import SettingError

IntArray = npt.NDArray[np.int64]
# A function from the true and the predicted classes to a score; higher is better.
LabelScore = Callable[[IntArray, IntArray], float]


def named_score(scoring: str, class_count: int) -> LabelScore:
    """Return the score of scikit-learn by that name, as a function of the true and the predicted classes.

    Parameters
    ----------
    scoring
        A name that `sklearn.metrics.get_scorer` knows, of a scorer that judges labels.
    class_count
        The number of classes K.

    Raises
    ------
    SettingError
        If there is no such scorer, or it judges probabilities.

    Examples
    --------
    >>> score = named_score("balanced_accuracy", 2)
    >>> score(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.5
    """
    fix = "Give the name of one that judges labels, such as f1_macro or balanced_accuracy, or a function of labels."
    try:
        scorer = get_scorer(scoring)
    except ValueError as error:
        raise SettingError("scoring names a scorer of scikit-learn.", f"It is {scoring!r}.", fix) from error
    decided = _Decided(class_count)

    def score(target: IntArray, predicted: IntArray) -> float:
        return float(scorer(decided, predicted, target))

    try:
        score(np.arange(class_count), np.arange(class_count))
    except (AttributeError, ValueError) as error:
        met = str(error).splitlines()[0]
        raise SettingError(
            "A scorer for thresholds judges labels.", f"{scoring!r} fails on them: {met}", fix
        ) from error
    return score


class _Decided(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A stand-in for a classifier, for scorers of scikit-learn: it "predicts" the decisions that it is given."""

    def __init__(self, class_count: int) -> None:
        self.class_count = class_count
        self.classes_ = np.arange(class_count)

    def predict(self, decisions: IntArray) -> IntArray:
        return decisions
