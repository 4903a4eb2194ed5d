import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import crossent as ce
from crossent.errors import DataError, SettingError
from tests.conftest import draw_reviews, draw_table


def test_constructor_is_the_recipe() -> None:
    recipe = {field.name: field.default for field in dataclasses.fields(ce.Recipe)}
    assert ce.Classifier().get_params() == recipe
    for field in dataclasses.fields(ce.Recipe):
        assert field.metadata["help"] in str(ce.Classifier.__doc__)
    with pytest.raises(TypeError, match="modle"):
        ce.Classifier(modle="linear")


def test_bad_setting_is_named_at_fit() -> None:
    with pytest.raises(SettingError, match="'forest'"):
        ce.Classifier(model="forest").fit([[0.0], [1.0]], [0, 1])


def test_cross_validation_grid_and_pipeline() -> None:
    X, y = load_wine(return_X_y=True)
    linear = ce.Classifier(model="linear", folds=2)
    assert cross_val_score(linear, X, y, cv=3, scoring="neg_log_loss").mean() > -0.2
    grid = GridSearchCV(linear, {"C": [1e-6, 1.0]}, cv=2, scoring="neg_log_loss").fit(X, y)
    assert grid.best_params_ == {"C": 1.0}
    assert make_pipeline(StandardScaler(), linear).fit(X, y).score(X, y) > 0.95


@pytest.mark.parametrize("labels", [np.array(["setosa", "versicolor", "virginica"]), np.array([10, 20, 30])])
def test_labels_come_back_as_they_were(labels: np.ndarray) -> None:
    X, y = load_iris(return_X_y=True)
    classifier = ce.Classifier(model="linear", folds=2).fit(X, labels[y])
    assert classifier.predict(X).dtype == labels.dtype
    assert (classifier.classes_ == labels).all()
    assert (classifier.predict(X) == labels[y]).mean() > 0.9


def test_frames_keep_their_kinds(table: pd.DataFrame) -> None:
    features, target = table.drop(columns="label"), table["label"]
    classifier = ce.Classifier(model="linear", folds=2).fit(features, target)
    kinds = {column.name: column.kind for column in classifier.predictor_.columns}
    assert kinds == {"size": "number", "colour": "category", "seen": "date", "flag": "boolean"}
    assert list(classifier.feature_names_in_) == list(features.columns)
    from_polars = ce.Classifier(model="linear", folds=2).fit(polars.DataFrame(features), target.to_numpy())
    np.testing.assert_allclose(
        from_polars.predict_proba(polars.DataFrame(features)), classifier.predict_proba(features), atol=1e-6
    )


def test_saved_pickled_and_cloned(tmp_path: Path, table: pd.DataFrame) -> None:
    features = table.drop(columns="label")
    classifier = ce.Classifier(model="boosting", folds=2, max_rounds=5).fit(features, table["label"])
    probs = classifier.predict_proba(features)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(features)), probs)
    classifier.save(tmp_path / "model")
    np.testing.assert_array_equal(ce.load(tmp_path / "model").probs(features), probs)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(features), probs)
    assert clone(classifier).get_params() == classifier.get_params()


def test_lengths_and_targets_are_checked() -> None:
    frame = draw_table(30)
    with pytest.raises(ValueError, match="inconsistent"):
        ce.Classifier().fit(frame, frame["label"].head(10))
    with pytest.raises(DataError, match="one class only"):
        ce.Classifier().fit(frame, ["a"] * 30)
    with pytest.raises(DataError, match="infinity"):
        ce.Classifier().fit(np.array([[np.inf], [1.0], [2.0]]), [0, 1, 0])


@pytest.mark.parametrize(
    "form",
    [list, tuple, np.array, pd.Series, polars.Series, lambda texts: np.array(texts, dtype=object)],
    ids=["list", "tuple", "array", "series", "polars", "objects"],
)
def test_texts_alone_in_any_form(form: Callable[[list[str]], Any]) -> None:
    reviews, new = draw_reviews(120), draw_reviews(60, seed=1)
    classifier = ce.Classifier(folds=2).fit(form(reviews["review"].tolist()), reviews["label"])
    assert classifier.n_features_in_ == 1
    texts = form(new["review"].tolist())
    assert classifier.score(texts, new["label"]) > 0.9
    np.testing.assert_allclose(classifier.predict_proba(texts).sum(axis=1), 1)


def test_short_texts_in_a_list_are_texts_too() -> None:
    classifier = ce.Classifier(folds=2).fit(["red wine", "beer", "white wine", "ale"] * 10, [0, 1, 0, 1] * 10)
    assert classifier.predict(["any wine", None]).tolist()[0] == 0


def test_text_beside_numbers_is_one_model() -> None:
    reviews, new = draw_reviews(300), draw_reviews(300, seed=1)
    target = reviews.pop("label")
    whole = ce.Classifier(folds=2).fit(reviews, target)
    alone = ce.Classifier(folds=2).fit(reviews[["review"]].assign(stars=0.0), target)
    labels = new.pop("label")
    # A fifth of the words, so that there is something left for the stars to say.
    new["review"] = new["review"].str.split().str[:2].str.join(" ")
    losses = [log_loss(labels, model.predict_proba(new.assign(stars=new["stars"]))) for model in (whole, alone)]
    assert losses[0] < losses[1]
    assert len(whole.predictor_.models) == 1


def test_texts_without_any_word_are_one_clear_error() -> None:
    with pytest.raises(DataError, match=r"No two of the .* training rows of 'text' have a word"):
        ce.Classifier(duplicates="anywhere").fit(["", " ", "", "\n"] * 10, [0, 1, 0, 1] * 10)
    with pytest.raises(DataError, match="form one group of the same features"):
        ce.Classifier().fit(["", " ", "", "\n"] * 10, [0, 1, 0, 1] * 10)
