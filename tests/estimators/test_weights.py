"""`Classifier.fit` with weights: 2 is two rows, 0 is none, in whatever form they are given."""

import warnings

import numpy as np
import pandas as pd
import polars
import pytest

import crossent as ce
from crossent.errors import ShapeError
from tests.conftest import draw_reviews, draw_table

QUICK = {
    "linear": {"model": "linear"},
    "boosting": {"model": "boosting", "boosting__max_rounds": 20},
    "network": {"model": "network", "network__max_epochs": 3, "network__learning_rate": 0.01},
    "auto": {"boosting__max_rounds": 10, "network__max_epochs": 2, "network__find_lr": False},
}


def draw(rows: int = 240) -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    table = draw_table(rows)
    return table.drop(columns="label"), table["label"], np.random.default_rng(0).integers(0, 4, size=rows)


@pytest.mark.parametrize("model", QUICK)
@pytest.mark.parametrize("imbalance", ["none", "oversample"])
def test_weights_are_copies_in_any_order(model: str, imbalance: str) -> None:
    X, y, weight = draw()
    settings = {"folds": 2, "imbalance": imbalance, **QUICK[model]}
    weighted = ce.Classifier(**settings).fit(X, y, sample_weight=weight)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(X)), weight))
    copies = ce.Classifier(**settings).fit(X.iloc[order], y.iloc[order])
    np.testing.assert_array_equal(weighted.predict_proba(X), copies.predict_proba(X))
    np.testing.assert_array_equal(weighted.predict_sets(X, coverage=0.7), copies.predict_sets(X, coverage=0.7))
    without = ce.Classifier(**settings).fit(X, y)
    assert np.abs(weighted.predict_proba(X) - without.predict_proba(X)).max() > 0.02


def test_weights_of_texts_are_copies() -> None:
    reviews = draw_reviews(90)
    weight = np.random.default_rng(0).integers(0, 4, size=90)
    rows = np.repeat(np.arange(90), weight)
    X, y = reviews.drop(columns="label"), reviews["label"]
    weighted = ce.Classifier(folds=2).fit(X, y, sample_weight=weight)
    copies = ce.Classifier(folds=2).fit(X.iloc[rows], y.iloc[rows])
    np.testing.assert_array_equal(weighted.predict_proba(X), copies.predict_proba(X))


@pytest.mark.parametrize("model", ["linear", "boosting"])
def test_weights_of_one_are_none_and_weights_of_zero_are_no_rows(model: str) -> None:
    X, y, weight = draw()
    counted = weight > 0
    settings = {"folds": 2, **QUICK[model]}
    ones = ce.Classifier(**settings).fit(X, y, sample_weight=counted.astype(float))
    absent = ce.Classifier(**settings).fit(X[counted], y[counted])
    np.testing.assert_array_equal(ones.predict_proba(X), absent.predict_proba(X))


def test_a_class_without_weight_is_no_class() -> None:
    X, y, _ = draw()
    classifier = ce.Classifier(folds=2, model="linear").fit(X, y, sample_weight=(y != "b").astype(int))
    assert classifier.classes_.tolist() == ["a", "c"]


def test_labels_shares_and_weights_come_in_any_form() -> None:
    X, y, weight = draw()
    settings = {"folds": 2, "model": "linear"}
    expected = ce.Classifier(**settings).fit(X, y, sample_weight=weight).predict_proba(X)
    for labels, given in (
        (y.tolist(), weight.tolist()),
        (y.to_numpy(), pd.Series(weight)),
        (polars.Series(y.tolist()), weight.astype(np.float32)),
    ):
        found = ce.Classifier(**settings).fit(X, labels, sample_weight=given).predict_proba(X)
        np.testing.assert_array_equal(found, expected)
    shares = pd.get_dummies(y).astype(float) * 0.9 + 0.1 / 3
    soft = ce.Classifier(**settings).fit(X, shares, sample_weight=weight)
    rows = np.repeat(np.arange(len(X)), weight)
    assert soft.classes_.tolist() == ["a", "b", "c"]
    labels = pd.Categorical(y, categories=["a", "b", "c"]).codes
    losses = [-np.log(each[rows, labels[rows]]).mean() for each in (soft.predict_proba(X), expected)]
    assert losses[0] == pytest.approx(losses[1], abs=0.1)


@pytest.mark.parametrize(
    "bad",
    [
        np.full(240, 1e100),
        np.full(240, 1e-100),
        pd.date_range("2020", periods=240),
        np.ma.array(np.ones(240), mask=np.arange(240) == 3),
        ["1"] * 239 + ["x"],
        {},
        np.zeros(240),
    ],
)
def test_what_is_no_weight_is_refused_by_every_door_with_the_same_words(bad: object) -> None:
    X, y, _ = draw()
    logits, target = np.zeros((240, 3)), np.arange(240) % 3
    doors = (
        lambda: ce.Classifier(folds=2, model="linear").fit(X, y, sample_weight=bad),
        lambda: ce.evaluate(np.full((240, 3), 1 / 3), target, sample_weight=bad),  # type: ignore[arg-type]
        lambda: ce.calibrate(logits, target, sample_weight=bad),  # type: ignore[arg-type]
        lambda: ce.conformal_sets(logits, target, logits, sample_weight=bad),  # type: ignore[arg-type]
    )
    for door in doors:
        with pytest.raises(ShapeError, match="sample_weight"):
            door()


@pytest.mark.parametrize("bad", [-1.0, np.inf])
def test_a_weight_that_is_none_is_refused_before_anything_changes(bad: float) -> None:
    X, y, weight = draw()
    classifier = ce.Classifier(folds=2, model="linear").fit(X, y)
    before = classifier.predict_proba(X)
    with pytest.raises(ValueError, match="weight"):
        classifier.fit(X, y, sample_weight=np.where(np.arange(240) == 5, bad, weight))
    np.testing.assert_array_equal(classifier.predict_proba(X), before)


def test_weights_that_sum_to_one_are_shares_of_the_rows() -> None:
    X, y, weight = draw()
    settings = {"folds": 2, **QUICK["boosting"]}
    shares = ce.Classifier(**settings).fit(X, y, sample_weight=weight / weight.sum())
    counted = weight * (weight > 0).sum() / weight.sum()
    numbers = ce.Classifier(**settings).fit(X, y, sample_weight=counted)
    np.testing.assert_allclose(shares.predict_proba(X), numbers.predict_proba(X), atol=1e-6)


def test_weights_of_an_odd_sum_are_told() -> None:
    X, y, _ = draw()
    with pytest.warns(UserWarning, match="multiply them by 20"):
        ce.Classifier(folds=2, model="linear").fit(X, y, sample_weight=np.full(240, 0.05))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ce.Classifier(folds=2, model="linear").fit(X, y, sample_weight=np.full(240, 2))


def test_a_model_with_weights_is_saved_and_promises_the_same(tmp_path: object) -> None:
    X, y, weight = draw()
    classifier = ce.Classifier(folds=2, **QUICK["boosting"]).fit(X, y, sample_weight=weight)
    classifier.save(f"{tmp_path}/model")
    rule = ce.DecisionRule(coverage=0.7, risk=0.7)
    found, expected = ce.load(f"{tmp_path}/model").decide(X, rule), classifier.decide(X, rule)
    np.testing.assert_array_equal(found.sets, expected.sets)
    np.testing.assert_array_equal(found.abstains, expected.abstains)
    assert classifier.predictor_.conformal_rows.weight is not None
