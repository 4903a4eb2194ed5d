"""The way from rows to logits, sets and labels, step by step in NumPy."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import crossent.predictor
from crossent.calibration.conformal import prediction_sets
from crossent.calibration.prior import estimate_prior
from crossent.data.read import read
from crossent.decide.abstention import risk_coverage, threshold_for_risk
from crossent.decide.decide import DecisionRule
from crossent.errors import SettingError
from crossent.fitting.fit import FitResult, fit
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Linear
from crossent.predictor import Predictor
from tests.conftest import draw_reviews, draw_table

PREDICTORS = ["linear_fit", "boosting_fit", "network_fit", "text_fit"]


@pytest.fixture(params=PREDICTORS)
def predictor(request: pytest.FixtureRequest) -> Predictor:
    result: FitResult = request.getfixturevalue(request.param)
    return result.predictor


@pytest.fixture(scope="module")
def rare() -> Predictor:
    """Two members with class weights, a real calibration, and rows of classes that are not as common."""
    frame = draw_table(400)
    frame = frame[(frame["label"] != "b") | (np.arange(400) % 4 == 0)]
    recipe = Recipe(model="linear", folds=2, imbalance="class-weight", linear=Linear(C=0.01))
    predictor = fit(read(frame, "label"), recipe).predictor
    assert predictor.calibration.method != "identity"
    assert len(predictor.members) == 2
    return predictor


def new_rows(predictor: Predictor, rows: int = 40) -> pd.DataFrame:
    draw = draw_reviews if predictor.columns[0].name == "review" else draw_table
    return draw(rows, seed=5)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def member_logits(predictor: Predictor, rows: pd.DataFrame) -> list[np.ndarray]:
    """Return the logits of each member under the prior of the data, by Bayes' rule."""
    features = predictor.encoder.encode(read(rows, "label").frame)
    return [
        member.model.logits(features) + np.log(predictor.prior / member.effective_prior) for member in predictor.members
    ]


def test_chunks_of_rows_are_predicted_as_all_at_once_and_in_their_order(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = new_rows(predictor)
    rule = DecisionRule(coverage=0.8, method="aps", seed=3)
    whole = predictor.logits(rows), predictor.predict(rows), predictor.decide(rows, rule).sets
    assert not np.array_equal(whole[0], whole[0][::-1])
    monkeypatch.setattr(crossent.predictor, "CHUNK", 7)
    np.testing.assert_allclose(predictor.logits(rows), whole[0], atol=1e-6)
    assert predictor.predict(rows) == whole[1]
    np.testing.assert_array_equal(predictor.decide(rows, rule).sets, whole[2])  # type: ignore[arg-type]


def test_no_rows_and_a_whole_number_of_chunks_are_predicted(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = new_rows(predictor, 14)
    expected = predictor.logits(rows)
    monkeypatch.setattr(crossent.predictor, "CHUNK", 7)
    np.testing.assert_allclose(predictor.logits(rows), expected, atol=1e-6)
    assert predictor.logits_of(read(rows, "label").frame.head(0)).shape == (0, 3)


def test_members_are_brought_to_the_prior_of_the_data_averaged_and_then_calibrated(rare: Predictor) -> None:
    rows = draw_table(40, seed=5)
    mean = np.mean([log_softmax(logits) for logits in member_logits(rare, rows)], axis=0)
    assert not np.allclose(rare.prior, rare.members[0].effective_prior, atol=0.05)
    expected = log_softmax(rare.calibration.logits(mean.astype(np.float32)))
    np.testing.assert_allclose(rare.log_probs(rows), expected, atol=1e-5)
    np.testing.assert_allclose(rare.probs(rows), np.exp(expected), atol=1e-5)


def test_predicted_classes_are_the_most_probable_under_the_decision_prior(rare: Predictor) -> None:
    rows = draw_table(200, seed=5)
    decided = (rare.log_probs(rows) + np.log(rare.decision_prior / rare.prior)).argmax(axis=1)
    assert rare.predict(rows) == [rare.classes[i] for i in decided]
    assert (decided != rare.log_probs(rows).argmax(axis=1)).any()


@pytest.mark.parametrize("seed", [3, 4])
def test_prediction_sets_compare_each_model_with_the_rows_that_it_did_not_see(rare: Predictor, seed: int) -> None:
    rows = draw_table(200, seed=5)
    of_members = [rare.calibration.logits(logits.astype(np.float32)) for logits in member_logits(rare, rows)]
    rng = np.random.default_rng(seed)
    expected = prediction_sets(rare.conformal_rows, of_members, coverage=0.8, method="aps", by="class", rng=rng)
    found = rare.decide(rows, DecisionRule(coverage=0.8, method="aps", by="class", seed=seed)).sets
    assert found is not None
    assert (found != expected).sum() <= 2
    assert 0 < found.mean() < 1


def decided(log_probs: np.ndarray, rare: Predictor) -> np.ndarray:
    """Return the labels under the decision prior."""
    return np.asarray((log_probs + np.log(rare.decision_prior / rare.prior)).argmax(axis=1))


def test_rows_are_left_unanswered_where_the_predicted_label_is_less_probable_than_on_held_out_rows_allowed(
    rare: Predictor,
) -> None:
    rows = draw_table(200, seed=5)
    held_out = log_softmax(rare.conformal_rows.logits)
    curve = risk_coverage(np.exp(held_out), rare.conformal_rows.target, predicted=decided(held_out, rare))
    threshold = threshold_for_risk(curve, 0.5)
    decisions = rare.decide(rows, DecisionRule(risk=0.5))
    predicted = decided(rare.log_probs(rows), rare)
    np.testing.assert_array_equal(decisions.predicted, predicted)
    np.testing.assert_array_equal(decisions.abstains, rare.probs(rows)[np.arange(200), predicted] < threshold)


def test_probabilities_and_labels_move_to_another_prior_by_bayes_rule(rare: Predictor) -> None:
    rows = draw_table(200, seed=5)
    probs = rare.probs(rows)

    def moved(prior: np.ndarray) -> np.ndarray:
        weighted = probs * prior / rare.prior
        return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))

    np.testing.assert_allclose(rare.decide(rows, DecisionRule()).probs, probs, rtol=1e-5)
    estimated = estimate_prior(probs, rare.prior).prior
    priors = {"uniform": np.full(3, 1 / 3), "estimate": estimated}
    for prior, shares in priors.items():
        decisions = rare.decide(rows, DecisionRule(prior=prior))
        np.testing.assert_allclose(decisions.probs, moved(shares), rtol=1e-3)
        # Whoever gives the prior is not in need of the one that the remedy means.
        assert (decisions.predicted == moved(shares).argmax(axis=1)).mean() > 0.99
    by_label = rare.decide(rows, DecisionRule(prior={"a": 0.2, "c": 0.5, "b": 0.3}))
    np.testing.assert_allclose(by_label.probs, moved(np.array([0.2, 0.3, 0.5])), rtol=1e-4)


def test_the_cheapest_label_is_predicted_under_the_prior_that_is_given(rare: Predictor) -> None:
    rows, costs = draw_table(200, seed=5), np.array([[0.0, 1, 5], [2, 0, 1], [1, 9, 0]])
    weighted = rare.probs(rows) * np.array([0.2, 0.3, 0.5]) / rare.prior
    decisions = rare.decide(rows, DecisionRule(prior=[0.2, 0.3, 0.5], costs=costs, top=2))
    assert (decisions.predicted == (weighted @ costs).argmin(axis=1)).mean() > 0.99
    assert decisions.top is not None
    assert (decisions.top == (-weighted).argsort(axis=1)[:, :2]).mean() > 0.99


def test_a_prior_needs_rows_of_every_class_in_training(rare: Predictor) -> None:
    without = dataclasses.replace(rare, prior=np.array([0.5, 0.5, 0.0]), decision_prior=np.array([0.5, 0.5, 0.0]))
    members = tuple(dataclasses.replace(member, effective_prior=without.prior) for member in rare.members)
    without = dataclasses.replace(without, members=members)
    with pytest.raises(SettingError, match="It had none of 'c'"):
        without.decide(draw_table(5, seed=5), DecisionRule(prior="uniform"))


def test_rows_that_are_converted_already_get_the_same_logits(predictor: Predictor) -> None:
    rows = new_rows(predictor)
    np.testing.assert_array_equal(predictor.logits_of(predictor.convert(rows)), predictor.logits(rows))
