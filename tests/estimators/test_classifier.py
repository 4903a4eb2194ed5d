import contextlib
import copy
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import crossent as ce
from crossent.errors import DataError, ModelFileError, SettingError, ShapeError
from crossent.fitting.recipe import flat_fields
from tests.conftest import draw_imbalanced, draw_reviews, draw_table
from tests.interrupted import interrupted_after


def test_constructor_is_the_recipe() -> None:
    recipe = {name: field.default for name, field in flat_fields().items()}
    assert ce.Classifier().get_params() == recipe
    for field in flat_fields().values():
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
    grid = GridSearchCV(linear, {"linear__C": [1e-6, 1.0]}, cv=2, scoring="neg_log_loss").fit(X, y)
    assert grid.best_params_ == {"linear__C": 1.0}
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
    classifier = ce.Classifier(model="boosting", folds=2, boosting__max_rounds=5).fit(features, table["label"])
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
    with pytest.raises(DataError, match="infinite"):
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
    assert len(whole.predictor_.members) == 1


def test_texts_without_any_word_are_one_clear_error() -> None:
    with pytest.raises(DataError, match=r"No two of the .* training rows of 'text' have a word"):
        ce.Classifier().fit(["", " ", "", "\n"] * 10, [0, 1, 0, 1] * 10)
    with pytest.raises(DataError, match="form one group, because they have the same features"):
        ce.Classifier(duplicates="together").fit(["", " ", "", "\n"] * 10, [0, 1, 0, 1] * 10)


@pytest.fixture(scope="module")
def imbalanced() -> tuple[ce.Classifier, pd.DataFrame, pd.Series]:
    """A classifier with a remedy for the rare class, and new rows."""
    train, new = draw_imbalanced(3000, seed=0), draw_imbalanced(4000, seed=1)
    classifier = ce.Classifier(model="linear", imbalance="class-weight", folds=2)
    return classifier.fit(train[["x", "y"]], train["label"]), new[["x", "y"]], new["label"]


Fitted = tuple[ce.Classifier, pd.DataFrame, pd.Series]


def test_a_remedy_changes_what_is_predicted_and_not_what_is_probable(imbalanced: Fitted) -> None:
    classifier, new, label = imbalanced
    train = draw_imbalanced(3000, seed=0)
    without = ce.Classifier(model="linear", folds=2).fit(train[["x", "y"]], train["label"])
    recall = [(one.predict(new)[label == "rare"] == "rare").mean() for one in (without, classifier)]
    assert recall[1] > recall[0] + 0.2
    losses = [log_loss(label, one.predict_proba(new)) for one in (without, classifier)]
    assert losses[1] < 1.01 * losses[0]
    assert classifier.predict_proba(new)[:, 2].mean() == pytest.approx((label == "rare").mean(), abs=0.01)
    for member in classifier.predictor_.members:
        np.testing.assert_allclose(member.effective_prior, 1 / 3, atol=0.05)


def test_probabilities_under_another_prior(imbalanced: Fitted) -> None:
    classifier, new, label = imbalanced
    # Rows of which a third are rare: drawn again, so that the classes look the same and only their shares differ.
    weight = label.map({"common": 1 / 0.7, "other": 1 / 0.25, "rare": 1 / 0.05})
    even = new.sample(4000, weights=weight, replace=True, random_state=0)
    target = label.loc[even.index]
    named = {"rare": 1 / 3, "common": 1 / 3, "other": 1 / 3}
    uniform = classifier.predict_proba(even, prior="uniform")
    for prior in (named, [1 / 3, 1 / 3, 1 / 3]):
        np.testing.assert_allclose(classifier.predict_proba(even, prior=prior), uniform, rtol=1e-6)
    estimated = classifier.predict_proba(even, prior="estimate")
    assert log_loss(target, uniform) < log_loss(target, classifier.predict_proba(even)) - 0.1
    assert log_loss(target, estimated) == pytest.approx(log_loss(target, uniform), abs=0.01)
    # By hand: odds change by the ratio of the priors.
    given, prior = classifier.predict_proba(even), classifier.predictor_.prior
    expected = given / prior
    np.testing.assert_allclose(uniform, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"common": 0.5, "rare": 0.5}, "other"),
        ({"common": 0.5, "rare": 0.3, "other": 0.1, "odd": 0.1}, "odd"),
        ([0.5, 0.5, 0.0], "0"),
        ([0.5, 0.5], "2"),
        ("even", "even"),
    ],
)
def test_a_prior_that_does_not_fit_is_named(imbalanced: Fitted, prior: object, message: str) -> None:
    classifier, new, _ = imbalanced
    with pytest.raises(SettingError, match=message):
        classifier.predict_proba(new, prior=prior)


def test_labels_by_costs_and_by_a_score(imbalanced: Fitted) -> None:
    classifier, new, label = imbalanced
    probs = classifier.predict_proba(new)
    likeliest = classifier.classes_[probs.argmax(axis=1)]
    assert (classifier.predict(new, costs=1 - np.eye(3)) == likeliest).all()
    # Taking a rare case for another costs twenty times as much as a false alarm: it is predicted from 1 in 21 on.
    costs = np.array([[0, 1e6, 1], [1e6, 0, 1], [20, 20, 0]])
    assert ((classifier.predict(new, costs=costs) == "rare") >= (probs[:, 2] > 1 / 21)).all()
    scored = classifier.predict(new, scoring="f1_macro")
    assert f1_score(label, scored, average="macro") > f1_score(label, likeliest, average="macro") + 0.02
    with pytest.raises(SettingError, match="Both"):
        classifier.predict(new, costs=costs, scoring="f1_macro")
    with pytest.raises(ShapeError, match="3"):
        classifier.predict(new, costs=np.ones((2, 2)))
    with pytest.raises(SettingError, match="-1"):
        classifier.predict(new, costs=np.full((3, 3), -1.0))


@pytest.mark.parametrize("by", ["overall", "class"])
def test_prediction_sets_keep_their_promise(imbalanced: Fitted, by: Any) -> None:
    classifier, new, label = imbalanced
    position = np.searchsorted(classifier.classes_, label)
    for coverage in (0.8, 0.9):
        sets = classifier.predict_sets(new, coverage=coverage, by=by)
        covered = sets[np.arange(len(new)), position]
        assert covered.mean() == pytest.approx(coverage, abs=0.03)
        if by == "class":
            for label_position in range(3):
                assert covered[position == label_position].mean() > coverage - 0.1


def test_more_coverage_than_the_rows_can_promise_is_refused(imbalanced: Fitted) -> None:
    classifier, new, _ = imbalanced
    with pytest.raises(SettingError, match="9999 held-out rows"):
        classifier.predict_sets(new, coverage=0.9999)
    for coverage in (0.0, 1.0, float("nan")):
        with pytest.raises(SettingError, match="between 0 and 1"):
            classifier.predict_sets(new, coverage=coverage)


def test_abstaining_keeps_the_risk_of_the_predicted_labels(imbalanced: Fitted) -> None:
    classifier, new, label = imbalanced
    costs = [[0, 1, 1], [2, 0, 2], [20, 20, 0]]
    for predicted, abstained in (
        (classifier.predict(new), classifier.abstains(new, risk=0.15)),
        (classifier.predict(new, costs=costs), classifier.abstains(new, risk=0.15, costs=costs)),
    ):
        wrong = predicted != label
        assert wrong.mean() > 0.25
        assert 0.3 < abstained.mean() < 0.9
        assert wrong[~abstained].mean() < 0.15
    with pytest.raises(SettingError, match="lowest"):
        classifier.abstains(new, risk=0.01)


def test_promises_under_another_prior(imbalanced: Fitted) -> None:
    classifier, new, label = imbalanced
    weight = label.map({"common": 1 / 0.7, "other": 1 / 0.25, "rare": 1 / 0.05})
    even = new.sample(4000, weights=weight, replace=True, random_state=0)
    target = np.searchsorted(classifier.classes_, label.loc[even.index])
    sets = classifier.predict_sets(even, coverage=0.8, prior="uniform")
    assert sets[np.arange(4000), target].mean() == pytest.approx(0.8, abs=0.1)
    unaware = classifier.predict_sets(even, coverage=0.8)
    assert unaware[np.arange(4000), target].mean() < 0.7
    wrong = classifier.classes_[target] != classifier.predict(even, prior="uniform")
    abstained = classifier.abstains(even, prior="uniform", risk=0.35)
    assert abstained.mean() < 0.9
    assert wrong[~abstained].mean() <= 0.35


def test_all_can_be_asked_at_once(imbalanced: Fitted) -> None:
    classifier, new, label = imbalanced
    decisions = classifier.decide(new, ce.DecisionRule(scoring="f1_macro", top=2, coverage=0.9, by="class", risk=0.2))
    np.testing.assert_array_equal(decisions.probs, classifier.predict_proba(new))
    np.testing.assert_array_equal(decisions.log_probs, classifier.predict_log_proba(new))
    np.testing.assert_array_equal(decisions.sets, classifier.predict_sets(new, by="class"))
    assert decisions.abstains is not None
    wrong = np.array(decisions.labels) != label
    assert wrong[~decisions.abstains].mean() <= 0.2
    np.testing.assert_array_equal(
        np.exp(classifier.predict_log_proba(new, prior="uniform")), classifier.predict_proba(new, prior="uniform")
    )
    uniform = classifier.predict_proba(new, prior="uniform").argmax(axis=1)
    np.testing.assert_array_equal(classifier.predict(new, prior="uniform"), classifier.classes_[uniform])
    costs = [[0, 1, 1], [2, 0, 2], [20, 20, 0]]
    expected = ce.minimum_cost(classifier.predict_proba(new, prior="uniform"), costs)
    np.testing.assert_array_equal(classifier.predict(new, prior="uniform", costs=costs), classifier.classes_[expected])


@pytest.mark.parametrize("calibration", ["none", "temperature", "vector", "matrix", "auto"])
def test_every_calibration_can_be_asked_for_saved_and_loaded(calibration: str, tmp_path: Path) -> None:
    table = draw_table(2000)
    classifier = ce.Classifier(model="linear", calibration=calibration, label_smoothing=0.6, folds=1)
    classifier.fit(table.drop(columns="label"), table["label"])
    kept = classifier.predictor_.calibration.method
    assert kept == "identity" if calibration == "none" else kept != "identity"
    classifier.save(tmp_path / "model")
    rows = table.drop(columns="label")
    assert ce.load(tmp_path / "model").probs(rows).tobytes() == classifier.predict_proba(rows).tobytes()


@pytest.mark.parametrize("imbalance", ["none", "class-weight", "oversample", "logit-adjust", "focal"])
def test_two_classes_and_every_remedy(imbalance: str) -> None:
    table = draw_imbalanced(600, seed=2)
    target = np.where(table["label"] == "rare", "rare", "rest")
    model = "boosting" if imbalance == "focal" else "linear"
    classifier = ce.Classifier(model=model, imbalance=imbalance, folds=2, boosting__max_rounds=20)
    classifier.fit(table[["x", "y"]], target)
    probs = classifier.predict_proba(table[["x", "y"]])
    assert probs.shape == (600, 2)
    assert probs[:, 0].mean() == pytest.approx((target == "rare").mean(), abs=0.03)


def test_text_takes_remedies_too() -> None:
    reviews = draw_reviews(300)
    rows = reviews[(reviews["label"] != "happy") | (np.arange(300) % 5 == 0)]
    shares = rows["label"].value_counts(normalize=True).sort_index().to_numpy()
    for imbalance in ("class-weight", "oversample", "logit-adjust"):
        classifier = ce.Classifier(imbalance=imbalance, folds=2, label_smoothing=0.05)
        classifier.fit(rows[["review"]], rows["label"])
        probs = classifier.predict_proba(rows[["review"]])
        np.testing.assert_allclose(probs.mean(axis=0), shares, atol=0.05)
    with pytest.raises(SettingError, match="focal"):
        ce.Classifier(imbalance="focal").fit(rows[["review"]], rows["label"])


def test_settings_that_do_not_go_together_are_refused() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(SettingError, match="does not take the focal loss"):
        ce.Classifier(model="linear", imbalance="focal").fit(X, y)
    with pytest.raises(SettingError, match="label_smoothing"):
        ce.Classifier(imbalance="focal", label_smoothing=0.1).fit(X, y)
    with pytest.raises(SettingError, match="itself a remedy"):
        ce.Classifier(imbalance="oversample", class_weight={0: 1.0, 1: 1.0, 2: 1.0}).fit(X, y)
    with pytest.raises(SettingError, match="None for '2'"):
        ce.Classifier(class_weight={0: 1.0, 1: 2.0}).fit(X, y)


def draw_votes(rows: int, votes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, true probabilities of three classes, and the shares of votes that are drawn from them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 4))
    logits = features @ np.random.default_rng(99).normal(size=(4, 3)) + np.array([1.0, 0.0, -0.5])
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return features, probs, rng.multinomial(votes, probs) / votes


def soft_log_loss(probs: np.ndarray, found: np.ndarray) -> float:
    return float(-(probs * np.log(found)).sum(axis=1).mean())


@pytest.mark.parametrize("model", ["linear", "boosting", "network"])
def test_votes_teach_more_than_their_majority(model: str) -> None:
    X, _, votes = draw_votes(900, 5)
    new, probs, _ = draw_votes(1000, 5, seed=1)
    classifier = ce.Classifier(model=model, folds=2, network__max_epochs=10)
    soft = classifier.fit(X, votes).predict_proba(new)
    assert classifier.classes_.tolist() == [0, 1, 2]
    np.testing.assert_allclose(classifier.predictor_.prior, votes.mean(axis=0), rtol=1e-5)
    # Probabilities are those of one vote: on average over rows as common as votes are, and no surer than these.
    np.testing.assert_allclose(soft.mean(axis=0), probs.mean(axis=0), atol=0.03)
    hard = clone(classifier).fit(X, votes.argmax(axis=1)).predict_proba(new)
    assert soft_log_loss(probs, soft) < soft_log_loss(probs, hard) - 0.02


def test_certain_shares_are_labels() -> None:
    X, y = load_iris(return_X_y=True)
    labels = ce.Classifier(model="linear", folds=2).fit(X, y)
    shares = ce.Classifier(model="linear", folds=2).fit(X, np.eye(3)[y])
    np.testing.assert_allclose(labels.predict_proba(X), shares.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("model", ["linear", "boosting"])
def test_columns_of_shares_name_the_classes(model: str, tmp_path: Path) -> None:
    X, _, votes = draw_votes(300, 3)
    y = pd.DataFrame(votes, columns=["low", "high", "none"], index=range(1000, 1300))
    classifier = ce.Classifier(model=model, folds=2, boosting__max_rounds=20)
    expected = classifier.fit(X, votes).predict_proba(X)
    # Frames hold their values by column, and arrays by row.
    np.testing.assert_array_equal(classifier.fit(X, y).predict_proba(X), expected)
    assert classifier.classes_.tolist() == ["low", "high", "none"]
    assert set(classifier.predict(X)) <= {"low", "high", "none"}
    classifier.save(tmp_path / "model")
    np.testing.assert_array_equal(ce.load(tmp_path / "model").probs(X), classifier.predict_proba(X))


@pytest.mark.parametrize("imbalance", ["class-weight", "oversample", "logit-adjust", "focal"])
def test_remedies_take_shares_and_leave_probabilities_alone(imbalance: str) -> None:
    X, probs, votes = draw_votes(1500, 5)
    model = "boosting" if imbalance == "focal" else "linear"
    found = ce.Classifier(model=model, folds=2, imbalance=imbalance).fit(X, votes).predict_proba(X)
    np.testing.assert_allclose(found.mean(axis=0), probs.mean(axis=0), atol=0.03)


def test_texts_take_shares() -> None:
    reviews, new = draw_reviews(200), draw_reviews(100, seed=1)
    shares = pd.get_dummies(reviews["label"]).astype(float) * 0.8
    shares += (1 - shares.sum(axis=1).to_numpy()[:, None]) / shares.shape[1]
    classifier = ce.Classifier(folds=2).fit(reviews["review"].tolist(), shares)
    assert (classifier.predict(new["review"].tolist()) == new["label"]).mean() > 0.8
    assert classifier.predict_proba(new["review"].tolist()).max() < 0.97


def test_shares_that_do_not_sum_to_one_are_named() -> None:
    X, _, votes = draw_votes(30, 5)
    with pytest.raises(ShapeError, match="Row 0"):
        ce.Classifier().fit(X, votes * 2)
    with pytest.raises(ValueError, match="inconsistent"):
        ce.Classifier().fit(X, votes[:10])


def test_interrupted_fit_leaves_the_old_model_or_the_new_one() -> None:
    X, y = load_iris(return_X_y=True)
    old, new = np.array(["ant", "bee", "cow"]), np.array(["sand", "tin", "wood"])
    linear = ce.Classifier(model="linear", folds=2)
    first = clone(linear).fit(X, old[y])
    expected = {"ant": first.predict(X), "sand": clone(linear).fit(X[:, :2], new[y]).predict(X[:, :2])}
    started = time.monotonic()
    clone(linear).fit(X[:, :2], new[y])
    seconds = time.monotonic() - started
    for i in range(12):
        classifier = copy.deepcopy(first)
        with contextlib.suppress(KeyboardInterrupt), interrupted_after(0.001 + i / 10 * seconds):
            classifier.fit(X[:, :2], new[y])
        rows = X[:, : classifier.n_features_in_]
        assert (classifier.predict(rows) == expected[classifier.classes_[0]]).all()


@pytest.mark.parametrize(
    ("settings", "X", "y"),
    [
        ({"linear__C": -1.0}, np.zeros((6, 2)), [0, 1] * 3),
        ({}, np.zeros((6, 3)), [0] * 6),
        ({}, np.zeros((6, 3)), [0, 1]),
        ({}, np.zeros((6, 3)), [0, 1] * 3),
        ({}, pd.DataFrame({"a": np.zeros(6)}), [0, 1] * 3),
    ],
)
def test_failed_fit_changes_nothing(settings: dict[str, Any], X: Any, y: list[int]) -> None:
    rows, labels = load_iris(return_X_y=True)
    classifier = ce.Classifier(model="linear", folds=2).fit(rows, labels)
    before = classifier.set_params(**settings).__dict__.copy()
    with pytest.raises(ValueError):  # noqa: PT011 - several rules are broken
        classifier.fit(X, y)
    assert classifier.__dict__ == before
    never_fitted = ce.Classifier(**classifier.get_params())
    with pytest.raises(ValueError):  # noqa: PT011
        never_fitted.fit(X, y)
    with pytest.raises(NotFittedError):
        never_fitted.predict(X)


def test_second_fit_forgets_the_names_of_the_first(table: pd.DataFrame) -> None:
    classifier = ce.Classifier(model="linear", folds=2).fit(table.drop(columns="label"), table["label"])
    reviews = draw_reviews(60)
    assert not hasattr(classifier.fit(reviews["review"].tolist(), reviews["label"]), "feature_names_in_")


def test_two_columns_of_one_name_are_named() -> None:
    X = pd.DataFrame(np.eye(4), columns=["a", "b", "a", "c"])
    with pytest.raises(DataError, match="'a'"):
        ce.Classifier(model="linear").fit(X, [0, 1, 0, 1])


def test_half_characters_are_refused_before_training() -> None:
    with pytest.raises(DataError, match="half of a character"):
        ce.Classifier(model="linear").fit(np.eye(4), ["a\ud800", "b", "a\ud800", "b"])
    with pytest.raises(DataError, match="half of a character"):
        ce.Classifier(model="linear").fit(["red\ud800 wine", "beer"] * 4, [0, 1] * 4)


def test_paths_that_no_disk_takes_are_one_clear_error(table: pd.DataFrame) -> None:
    classifier = ce.Classifier(model="linear", folds=2).fit(table.drop(columns="label"), table["label"])
    with pytest.raises(ce.CrossentError, match="File name too long"):
        classifier.save("x" * 5000)
    with pytest.raises(ModelFileError, match="File name too long"):
        ce.load("x" * 5000)
    with pytest.raises(DataError, match="File name too long"):
        classifier.predictor_.probs("x" * 5000 + ".csv")
