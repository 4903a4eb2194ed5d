import contextlib
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import crossent as ce
from crossent.errors import DataError, SettingError
from tests.interrupted import interrupted_after


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.mark.parametrize("C", [0.01, 1.0, 1000.0])
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"class_weight": {"setosa": 3.0}}])
def test_same_as_scikit_learn(iris: tuple[np.ndarray, np.ndarray], C: float, options: dict[str, object]) -> None:
    X, y = iris[0][20:], iris[1][20:]
    weight = np.arange(len(y)) % 4 + 0.0
    ours = ce.SoftmaxRegression(C, tol=1e-12, **options).fit(X, y, weight)
    theirs = LogisticRegression(C=C, tol=1e-10, solver="newton-cg", max_iter=10_000, **options).fit(X, y, weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-5 * C**0.5)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(np.exp(ours.predict_log_proba(X)), ours.predict_proba(X), rtol=1e-12)
    assert (ours.predict(X) == theirs.predict(X)).all()
    assert list(ours.classes_) == list(theirs.classes_)
    assert ours.intercept_.sum() == pytest.approx(0, abs=1e-9)


def test_two_classes_have_one_decision(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris[0][:100], iris[1][:100]
    model = ce.SoftmaxRegression().fit(X, y)
    logits = X @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(model.decision_function(X), logits[:, 1] - logits[:, 0])
    assert model.predict_proba(X).shape == (100, 2)


def test_soft_targets_of_certainty_are_labels(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    soft = (y[:, None] == np.unique(y)).astype(float)
    by_soft, by_label = ce.SoftmaxRegression(tol=1e-12).fit(X, soft), ce.SoftmaxRegression(tol=1e-12).fit(X, y)
    np.testing.assert_allclose(by_soft.coef_, by_label.coef_, atol=1e-7)
    assert list(by_soft.classes_) == [0, 1, 2]


def test_distilled_student_gives_the_teacher(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    teacher = ce.SoftmaxRegression(C=0.1).fit(X, y)
    student = ce.SoftmaxRegression(C=1e6).fit(X, teacher.predict_proba(X))
    np.testing.assert_allclose(student.predict_proba(X), teacher.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_is_dense(iris: tuple[np.ndarray, np.ndarray], dtype: type) -> None:
    X, y = iris[0].astype(dtype), iris[1]
    dense, sparse = ce.SoftmaxRegression(tol=1e-10).fit(X, y), ce.SoftmaxRegression(tol=1e-10)
    sparse.fit(scipy.sparse.csr_matrix(X), y)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=1e-3 if dtype == np.float32 else 1e-6)


@pytest.mark.parametrize("features", [4, 3000])
def test_sparse_rows_in_any_order_with_duplicates(features: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    columns, values = rng.integers(0, features, (200, 5)), rng.random((200, 5))
    messy = scipy.sparse.csr_matrix((values.ravel(), columns.ravel(), np.arange(0, 1001, 5)), shape=(200, features))
    given = messy.data.copy(), messy.indices.copy()
    model = ce.SoftmaxRegression(tol=1e-12).fit(messy, y)
    assert (messy.data == given[0]).all()
    assert (messy.indices == given[1]).all()
    tidy = ce.SoftmaxRegression(tol=1e-12).fit(messy.toarray(), y)
    np.testing.assert_allclose(model.coef_, tidy.coef_, atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(messy), tidy.predict_proba(messy.toarray()), atol=1e-5)


def test_warm_start_takes_fewer_steps(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    model = ce.SoftmaxRegression(warm_start=True).fit(X, y)
    steps = model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ < steps
    # Other classes: it begins anew.
    model.fit(X[:100], y[:100])
    assert model.coef_.shape == (2, 4)


def test_gap_bounds_what_is_missing(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    best = ce.SoftmaxRegression(tol=1e-14).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        early = ce.SoftmaxRegression(max_iter=4).fit(X, y)
    assert 0 < early.objective_ - best.objective_ <= early.gap_
    assert best.gap_ < 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_beyond_all_measure(iris: tuple[np.ndarray, np.ndarray], dtype: type) -> None:
    X, y = iris[0].astype(dtype), iris[1]
    without = ce.SoftmaxRegression().fit(X[:, 1:], y)
    X[:, 0] = np.where(np.arange(150) % 2, 1e30, -1e30)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = ce.SoftmaxRegression().fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    # Near the optimum without that column, or else it says that it is not there.
    near = model.objective_ <= without.objective_ * (1 + 1e-6)
    assert near or any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    assert near or dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(iris: tuple[np.ndarray, np.ndarray], bad: float) -> None:
    X, y = iris[0].copy(), iris[1]
    X[7, 2] = bad
    for given in (X, scipy.sparse.csr_matrix(X)):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            ce.SoftmaxRegression().fit(given, y)


@pytest.mark.parametrize("settings", [{}, {"l1_ratio": 0.5}, {"C": "auto"}])
def test_constant_and_duplicate_columns_and_few_rows(settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 60)), np.arange(30) % 3
    X[:, 0], X[:, 1], X[:, 2] = 5, 0, X[:, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = ce.SoftmaxRegression(**settings).fit(X, y)
    np.testing.assert_allclose(model.coef_[:, 1], 0, atol=1e-9)
    if not settings:
        np.testing.assert_allclose(model.coef_[:, 2], model.coef_[:, 3], atol=1e-6)
        theirs = LogisticRegression(tol=1e-10, max_iter=10_000).fit(X, y)
        np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-3)


def test_without_a_penalty_classes_must_overlap(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    model = ce.SoftmaxRegression(C=np.inf, tol=1e-10).fit(X[:, :2], y)
    theirs = LogisticRegression(C=np.inf, tol=1e-8, max_iter=10_000).fit(X[:, :2], y)
    np.testing.assert_allclose(model.predict_proba(X[:, :2]), theirs.predict_proba(X[:, :2]), atol=1e-3)
    with pytest.raises(DataError, match="classify all rows rightly"):
        ce.SoftmaxRegression(C=np.inf).fit(X[:100], y[:100])
    weight = np.append(np.ones(100), np.zeros(50))
    with pytest.raises(DataError, match="finite C"):
        ce.SoftmaxRegression(C=np.inf).fit(X, np.where(np.arange(150) < 50, "a", "b"), weight)


def test_each_feature_has_its_own_penalty(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    factor = np.array([4.0, 1.0, 0.25, 1e6])
    ours = ce.SoftmaxRegression(penalty_factor=factor, tol=1e-12).fit(X, y)
    # The same as features that are as much larger as their penalty is smaller.
    scaled = LogisticRegression(tol=1e-10, max_iter=10_000).fit(X / np.sqrt(factor), y)
    np.testing.assert_allclose(ours.coef_, scaled.coef_ / np.sqrt(factor), atol=1e-5)
    free = ce.SoftmaxRegression(penalty_factor=[0.0, 1.0, 1.0, 1.0]).fit(X, y)
    assert np.abs(free.coef_[:, 0]).max() > np.abs(ours.coef_[:, 0]).max()
    assert free.gap_ == np.inf


def test_l1_ratio_is_that_of_scikit_learn(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    ours = ce.SoftmaxRegression(l1_ratio=0.7, tol=1e-10).fit(X, y)
    theirs = LogisticRegression(l1_ratio=0.7, solver="saga", tol=1e-10, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    assert (ours.coef_ == 0).any()
    assert ours.gap_ <= 1e-10 * ours.objective_


def test_auto_takes_the_penalty_that_predicts_best(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    model = ce.SoftmaxRegression(C="auto").fit(X, y)
    assert model.losses_.shape == (10,)
    assert np.logspace(-4, 4, 10)[np.nanargmin(model.losses_)] == model.C_
    same = ce.SoftmaxRegression(C=model.C_).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), same.predict_proba(X), atol=1e-3)
    soft = np.eye(3)[np.unique(y, return_inverse=True)[1]]
    assert ce.SoftmaxRegression(C="auto").fit(X, soft).C_ > 0
    noise = ce.SoftmaxRegression(C="auto").fit(np.random.default_rng(0).normal(size=(200, 40)), np.arange(200) % 2)
    assert noise.C_ < 0.1


@pytest.mark.parametrize("class_weight", [None, "balanced", {"virginica": 3.0}])
def test_rows_of_a_file(iris: tuple[np.ndarray, np.ndarray], tmp_path: Path, class_weight: Any) -> None:
    X, y = iris[0][20:], iris[1][20:]
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    frame["kind"] = y
    frame.to_parquet(tmp_path / "iris.parquet")
    of_file = ce.SoftmaxRegression(class_weight=class_weight, tol=1e-10).fit(tmp_path / "iris.parquet", "kind")
    in_memory = ce.SoftmaxRegression(class_weight=class_weight, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(of_file.coef_, in_memory.coef_, atol=1e-4)
    assert of_file.objective_ == pytest.approx(in_memory.objective_, rel=1e-9)
    assert (of_file.predict(frame[["a", "b", "c", "d"]]) == in_memory.predict(X)).all()
    with pytest.raises(SettingError, match="name of a column"):
        ce.SoftmaxRegression().fit(str(tmp_path / "iris.parquet"), y)
    frame[:20].to_parquet(tmp_path / "one.parquet")
    with pytest.raises(DataError, match="only 1 class"):
        ce.SoftmaxRegression().fit(tmp_path / "one.parquet", "kind")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"C": 0.0}, "C"),
        ({"C": "best"}, "C"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"l1_ratio": 1.5}, "l1_ratio"),
        ({"penalty_factor": [1.0, 2.0]}, "each of 4 features"),
        ({"penalty_factor": [1.0, 2.0, -1.0, 0.0]}, "least value -1.0"),
    ],
)
def test_settings_out_of_bounds(iris: tuple[np.ndarray, np.ndarray], settings: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        ce.SoftmaxRegression(**settings).fit(*iris)


def test_data_that_cannot_be_learned_from(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    with pytest.raises(DataError, match="only 1 class, setosa"):
        ce.SoftmaxRegression().fit(X[:50], y[:50])
    with pytest.raises(ValueError, match="zero"):
        ce.SoftmaxRegression().fit(X, y, np.zeros(150))
    with pytest.raises(DataError, match="zero"):
        ce.SoftmaxRegression().fit(X, np.zeros((150, 3)))
    with pytest.raises(DataError, match="not negative"):
        ce.SoftmaxRegression().fit(X, np.full((150, 3), -1.0))
    with pytest.raises(SettingError, match="class_weight"):
        ce.SoftmaxRegression(class_weight="balanced").fit(X, np.full((150, 3), 0.3))


def test_interrupted_fit_leaves_the_old_model_or_the_new_one(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    rows, labels = np.tile(X[:, :2], (200, 1)), np.tile(np.char.upper(y), 200)
    old, new = ce.SoftmaxRegression().fit(X, y), ce.SoftmaxRegression()
    started = time.monotonic()
    new.fit(rows, labels)
    seconds = time.monotonic() - started
    expected = {4: vars(old), 2: vars(new)}
    for i in range(12):
        model = ce.SoftmaxRegression().fit(X, y)
        with contextlib.suppress(KeyboardInterrupt), interrupted_after(0.0005 + i / 10 * seconds):
            model.fit(rows, labels)
        for name, value in expected[model.n_features_in_].items():
            np.testing.assert_array_equal(getattr(model, name), value)


def test_failed_fit_changes_nothing(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    model = ce.SoftmaxRegression(max_iter=1, tol=1e-12)
    with pytest.warns(ConvergenceWarning):
        before = model.fit(X, y).__dict__.copy()
    with pytest.raises(DataError):
        model.fit(X[:, :2], ["setosa"] * len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(X[:, :2], y)
    assert model.__dict__ == before


def test_second_fit_forgets_what_it_did_not_try(iris: tuple[np.ndarray, np.ndarray]) -> None:
    model = ce.SoftmaxRegression("auto").fit(*iris)
    assert not hasattr(model.set_params(C=1.0).fit(*iris), "losses_")


def test_negative_weights_are_refused(iris: tuple[np.ndarray, np.ndarray]) -> None:
    weight = np.where(np.arange(len(iris[1])) < 3, -0.5, 1.0)
    with pytest.raises(DataError, match=r"not negative\. The least is -0\.5"):
        ce.SoftmaxRegression().fit(*iris, weight)
