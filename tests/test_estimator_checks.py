from collections.abc import Callable

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

import crossent as ce


# Some compare coefficients to seven digits, for which the objective must be known to all of its own.
@pytest.mark.slow
@parametrize_with_checks(
    [ce.SoftmaxRegression(tol=1e-18), *(ce.Classifier(model=model) for model in ("linear", "boosting", "auto"))]
)
def test_every_check_of_scikit_learn(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)
