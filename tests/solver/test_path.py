import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from crossent.kernels.regression import FeatureRows, RowTargets
from crossent.solver.data import RegressionData
from crossent.solver.path import choose_penalty, gains_no_more, loss_at
from crossent.solver.regression import Coefficients, Penalty, start_at_prior


def draw(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 10))
    logits = X @ rng.normal(size=(10, 3)) * np.sqrt(1 - noise)
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def test_losses_are_those_of_scikit_learn_on_the_rows_held_out() -> None:
    X, y = draw(0.5)
    fold = np.arange(300) % 3
    data = RegressionData(FeatureRows(X, None, 10), RowTargets(y, None, None), 3)
    path = (0.01, 0.1, 1.0)
    found = choose_penalty(
        data, start_at_prior(data), fold, penalty=Penalty(1.0, np.ones(10)), path=path, max_steps=100
    )
    for C, loss in zip(path, found.losses, strict=True):
        total = 0.0
        for k in range(3):
            model = LogisticRegression(C=C, tol=1e-8, max_iter=1000).fit(X[fold != k], y[fold != k])
            log_probs = model.predict_log_proba(X[fold == k])
            total -= log_probs[np.arange(len(log_probs)), y[fold == k]].sum()
        assert loss == pytest.approx(total / 300, abs=1e-3)
    assert path[int(found.losses.argmin())] == found.C


def test_noise_wants_a_strong_penalty_and_signal_a_weak_one() -> None:
    chosen = []
    for noise in (1.0, 0.0):
        X, y = draw(noise)
        data = RegressionData(FeatureRows(X, None, 10), RowTargets(y, None, None), 3)
        fold = np.where(np.arange(300) % 4 == 0, 0, -1)
        path = (1e-4, 1e-2, 1.0, 100.0)
        penalty = Penalty(1.0, np.ones(10))
        chosen.append(choose_penalty(data, start_at_prior(data), fold, penalty=penalty, path=path, max_steps=100))
    assert chosen[0].C < chosen[1].C
    assert np.isnan(chosen[0].losses[-1])


def test_a_path_ends_where_it_gains_no_more_but_not_before_it_gained() -> None:
    assert not gains_no_more([2.0])
    assert not gains_no_more([2.0, 1.99999])
    assert gains_no_more([2.0, 1.0, 0.99999])
    assert gains_no_more([2.0, 2.1])


def test_loss_at_is_the_mean_cross_entropy() -> None:
    X, y = draw(0.5)
    rng = np.random.default_rng(1)
    coefficients = Coefficients(rng.normal(size=(10, 3)), rng.normal(size=3))
    data = RegressionData(FeatureRows(X, None, 10), RowTargets(y, None, None), 3)
    log_probs = log_softmax(X @ coefficients.weight + coefficients.bias, axis=1)
    assert loss_at(data, np.arange(10, 300), coefficients) == pytest.approx(
        -log_probs[np.arange(10, 300), y[10:]].mean()
    )
