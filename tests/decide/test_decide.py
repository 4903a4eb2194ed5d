"""Decisions against the functions that they are made of, and their promises against risks that are known exactly."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossent as ce
from crossent.calibration.combine import equal_say
from crossent.calibration.scaling import identity
from crossent.decide.decide import DecisionBasis, DecisionRule, decide
from crossent.errors import SettingError, ShapeError
from crossent.logits import LabelledLogits, log_softmax

CLASSES = ("common", "other", "rare")
# Missing a rare case costs twenty times as much as a false alarm.
COSTS = [[0, 1, 1], [2, 0, 2], [20, 20, 0]]
EVEN = np.full(3, 1 / 3)


def draw(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the true probabilities, of classes that get rarer, and labels."""
    rng = np.random.default_rng(seed)
    logits = (rng.normal(0, 1.5, size=(rows, 3)) - [0.0, 1.0, 3.5]).astype(np.float32)
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


# The shares of the classes that these rows come from.
PRIOR = np.exp(log_softmax(draw(400_000, 10**6)[0])).mean(axis=0)


def basis_of(rows: int, seed: int, decision_prior: np.ndarray = PRIOR) -> DecisionBasis:
    held_out = LabelledLogits(*draw(rows, seed))
    return DecisionBasis(CLASSES, PRIOR, decision_prior, equal_say(1), identity("", 0.0), held_out)


def probs_of(logits: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(logits))


def true_risk(logits: np.ndarray, predicted: np.ndarray, answered: np.ndarray, prior: np.ndarray) -> float:
    """Return the share of wrong answers where classes have the shares of a prior, by the true probabilities."""
    weight = probs_of(logits)[answered] * (prior / PRIOR)
    right = np.take_along_axis(weight, predicted[answered, None], axis=1).sum()
    return float(1 - right / weight.sum())


WAYS: dict[str, tuple[dict[str, Any], np.ndarray, float]] = {
    "most probable": ({}, PRIOR, 0.25),
    "remedy": ({}, EVEN, 0.25),
    "costs": ({"costs": COSTS}, PRIOR, 0.25),
    "costs after a remedy": ({"costs": COSTS}, EVEN, 0.25),
    "thresholds": ({"scoring": "f1_macro"}, PRIOR, 0.25),
    "prior": ({"prior": EVEN}, PRIOR, 0.3),
    "prior and costs": ({"prior": [0.2, 0.5, 0.3], "costs": COSTS}, PRIOR, 0.3),
    "prior and thresholds": ({"prior": [0.4, 0.4, 0.2], "scoring": "f1_macro"}, PRIOR, 0.3),
}


def broken_promises(way: str, draws: int, rows: int) -> tuple[int, int]:
    """Return in how many draws the risk is broken, and in how many some rows are answered."""
    setting, decision_prior, risk = WAYS[way]
    new, _ = draw(20_000, 10**6 + 1)
    rule = DecisionRule(**setting, risk=risk)
    prior = np.asarray(setting.get("prior", PRIOR))
    broken = answering = 0
    for seed in range(draws):
        try:
            decisions = decide([new], basis_of(rows, seed, decision_prior), rule)
        except SettingError:
            continue  # a risk that is not promised is not broken
        assert decisions.abstains is not None
        answering += not decisions.abstains.all()
        broken += true_risk(new, decisions.predicted, ~decisions.abstains, prior) > risk
    return broken, answering


@pytest.mark.parametrize("way", WAYS)
def test_the_risk_holds_for_what_is_answered(way: str) -> None:
    broken, answering = broken_promises(way, draws=20, rows=1500)
    assert broken <= 1
    assert answering >= 15


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_risk_holds_for_what_is_answered_in_95_of_100_draws(way: str) -> None:
    broken, answering = broken_promises(way, draws=400, rows=1500)
    assert broken <= 20
    assert answering >= 300


def test_a_promise_about_the_most_probable_label_would_be_broken() -> None:
    """The tests above can fail: what abstains by the confidence of another label than it answers breaks the risk."""
    new, _ = draw(20_000, 10**6 + 1)
    for setting, decision_prior in (({"costs": COSTS}, PRIOR), ({}, EVEN)):
        predicted = decide([new], basis_of(1, 0, decision_prior), DecisionRule(**setting)).predicted
        broken = 0
        for seed in range(20):
            held_out = basis_of(1500, seed).held_out
            least = ce.threshold_for_risk(ce.risk_coverage(probs_of(held_out.logits), held_out.target), 0.25)
            broken += true_risk(new, predicted, probs_of(new).max(axis=1) >= least, PRIOR) > 0.25
        assert broken >= 10


@pytest.mark.parametrize("by", ["overall", "class", "cluster"])
@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
def test_sets_cover_under_the_prior_that_is_given(method: Any, by: Any) -> None:
    new, _ = draw(4000, 10**6 + 1)
    weight = probs_of(new) * (EVEN / PRIOR)
    coverage, of_class = [], []
    for seed in range(40):
        rule = DecisionRule(prior=EVEN, coverage=0.8, method=method, by=by, seed=seed)
        sets = decide([new], basis_of(1000, seed), rule).sets
        assert sets is not None
        coverage.append((weight * sets).sum() / weight.sum())
        of_class.append((weight * sets).sum(axis=0) / weight.sum(axis=0))
    error = np.std(coverage) / np.sqrt(len(coverage))
    assert -3 * error < np.mean(coverage) - 0.8 < 0.02 + 3 * error
    if by == "class":
        assert (np.mean(of_class, axis=0) > 0.8 - 0.01).all()
    # Without a word of the prior the rare class, now frequent, spoils the promise.
    sets = decide([new], basis_of(1000, 0), DecisionRule(coverage=0.8, method=method)).sets
    assert sets is not None
    assert (weight * sets).sum() / weight.sum() < 0.77


def test_a_set_is_about_the_true_label_whatever_is_predicted() -> None:
    new, target = draw(5000, 10**6 + 1)
    plain = decide([new], basis_of(1000, 0), DecisionRule(coverage=0.8))
    assert plain.sets is not None
    every_row = np.arange(len(new))
    # The most probable label is in every set that is not empty.
    assert plain.sets[every_row, plain.predicted][plain.sets.any(axis=1)].all()
    for setting, decision_prior in (({"costs": COSTS}, PRIOR), ({"scoring": "f1_macro"}, PRIOR), ({}, EVEN)):
        other = decide([new], basis_of(1000, 0, decision_prior), DecisionRule(**setting, coverage=0.8))
        np.testing.assert_array_equal(other.sets, plain.sets)
        assert (other.predicted != plain.predicted).any()
    assert plain.sets[every_row, target].mean() == pytest.approx(0.8, abs=0.03)
    costly = decide([new], basis_of(1000, 0), DecisionRule(costs=COSTS, coverage=0.8)).predicted
    assert not plain.sets[every_row, costly].all()


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 20))
def test_each_part_is_the_function_of_its_name(seed: int, rows: int) -> None:
    new, _ = draw(rows, seed)
    basis = basis_of(200, seed + 1)
    rule = DecisionRule(top=2, coverage=0.8, method="aps", risk=0.5, seed=3)
    found = decide([new], basis, rule)
    probs, held_out = probs_of(new), basis.held_out
    np.testing.assert_array_equal(found.log_probs, log_softmax(new))
    np.testing.assert_array_equal(found.probs, probs)
    np.testing.assert_array_equal(found.predicted, probs.argmax(axis=1))
    assert found.labels == [CLASSES[i] for i in probs.argmax(axis=1)]
    np.testing.assert_array_equal(found.top, ce.top_k(probs, 2))
    sets = ce.conformal_sets(held_out.logits, held_out.target, new, coverage=0.8, method="aps", seed=3)
    np.testing.assert_array_equal(found.sets, sets)
    curve = ce.risk_coverage(probs_of(held_out.logits), held_out.target)
    np.testing.assert_array_equal(found.abstains, probs.max(axis=1) < ce.threshold_for_risk(curve, 0.5))


def test_labels_by_costs_thresholds_remedy_and_prior() -> None:
    new, _ = draw(500, 10**6 + 1)
    basis, probs = basis_of(3000, 0), probs_of(new)
    held_out = basis.held_out
    by_costs = decide([new], basis, DecisionRule(costs=COSTS))
    np.testing.assert_array_equal(by_costs.predicted, ce.minimum_cost(probs, COSTS))
    tuned = ce.tune_thresholds(probs_of(held_out.logits), held_out.target, seed=2).values
    by_score = decide([new], basis, DecisionRule(scoring="f1_macro", seed=2))
    np.testing.assert_array_equal(by_score.predicted, ce.apply_thresholds(probs, tuned))
    remedied = dataclasses.replace(basis, decision_prior=EVEN)
    found = decide([new], remedied, DecisionRule())
    np.testing.assert_array_equal(found.predicted, (probs / PRIOR).argmax(axis=1))
    np.testing.assert_array_equal(found.probs, probs)
    # A prior, costs and a score that are given come before the remedy.
    for rule, expected in ((DecisionRule(costs=COSTS), by_costs), (DecisionRule(scoring="f1_macro", seed=2), by_score)):
        np.testing.assert_array_equal(decide([new], remedied, rule).predicted, expected.predicted)
    shifted = probs * [0.2, 0.5, 0.3] / PRIOR
    shifted /= shifted.sum(axis=1, keepdims=True)
    named = {"rare": 0.3, "common": 0.2, "other": 0.5}
    for prior in (named, [0.2, 0.5, 0.3]):
        found = decide([new], remedied, DecisionRule(prior=prior, top=1))
        np.testing.assert_allclose(found.probs, shifted, rtol=1e-5)
        np.testing.assert_array_equal(found.predicted, shifted.argmax(axis=1))
        assert found.top is not None
        np.testing.assert_array_equal(found.top[:, 0], found.predicted)
    found = decide([new], basis, DecisionRule(prior="uniform", costs=COSTS))
    np.testing.assert_array_equal(found.predicted, ce.minimum_cost(found.probs, COSTS))


def test_an_estimated_prior_is_that_of_the_rows() -> None:
    new, target = draw(60_000, 10**6 + 1)
    rows = np.random.default_rng(0).permutation(np.concatenate([np.flatnonzero(target == k)[:2000] for k in range(3)]))
    found = decide([new[rows]], basis_of(10, 0), DecisionRule(prior="estimate")).probs
    even = decide([new[rows]], basis_of(10, 0), DecisionRule(prior="uniform")).probs
    np.testing.assert_allclose(found, even, atol=0.05)
    one_class = new[target == 0][:500]
    assert (decide([one_class], basis_of(10, 0), DecisionRule(prior="estimate")).probs[:, 1:] > 0).all()


def test_models_are_averaged_and_each_row_is_compared_by_the_model_that_did_not_see_it() -> None:
    first, second = draw(200, 1)[0], draw(200, 2)[0]
    basis = basis_of(300, 0)
    folds = dataclasses.replace(basis.held_out, fold=np.arange(300) % 2)
    basis = dataclasses.replace(basis, held_out=folds, combination=equal_say(2))
    found = decide([first, second], basis, DecisionRule(coverage=0.8))
    mean = (log_softmax(first) + log_softmax(second)) / 2
    np.testing.assert_allclose(found.log_probs, log_softmax(mean), rtol=1e-5)
    assert found.sets is not None
    score = -log_softmax(folds.logits)[np.arange(300), folds.target]
    for row, label in np.ndindex(200, 3):
        new_score = np.array([-log_softmax(logits)[row, label] for logits in (first, second)])
        assert found.sets[row, label] == ((score < new_score[np.arange(300) % 2]).sum() < np.ceil(0.8 * 301))


def test_rows_that_tune_thresholds_do_not_promise_a_risk() -> None:
    """Every held-out row has a class of its own, by which the score can tell which rows it was given."""
    rows = 60
    logits = np.where(np.eye(rows), 10.0, 0.0).astype(np.float32)
    seen: set[int] = set()

    def score(target: np.ndarray, predicted: np.ndarray) -> float:
        del predicted
        seen.update(target.tolist())
        return 0.0

    def abstaining(target: np.ndarray) -> float:
        held_out = LabelledLogits(logits, target)
        even = np.full(rows, 1 / rows)
        basis = DecisionBasis(tuple(range(rows)), even, even, equal_say(1), identity("", 0.0), held_out)
        abstains = decide([logits], basis, DecisionRule(scoring=score, risk=0.2)).abstains
        assert abstains is not None
        return float(abstains.mean())

    assert abstaining(np.arange(rows)) == 0.0
    tuning = np.isin(np.arange(rows), list(seen))
    assert tuning.sum() == rows // 2
    # Wrong labels of the tuning rows change nothing, wrong ones of the others everything.
    assert abstaining(np.where(tuning, (np.arange(rows) + 1) % rows, np.arange(rows))) == 0.0
    with pytest.raises(SettingError, match="lowest"):
        abstaining(np.where(tuning, np.arange(rows), (np.arange(rows) + 1) % rows))


def test_no_rows_are_decided_too() -> None:
    rule = DecisionRule(costs=COSTS, top=2, coverage=0.8, risk=0.5, prior="uniform")
    found = decide([np.empty((0, 3), np.float32)], basis_of(3000, 0), rule)
    assert found.labels == []
    assert found.top is not None
    assert found.sets is not None
    assert found.abstains is not None
    assert found.log_probs.shape == found.sets.shape == (0, 3)
    assert found.top.shape == (0, 2)
    assert found.abstains.shape == (0,)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"costs": COSTS, "scoring": "f1_macro"}, "Both are given"),
        ({"prior": "estimate", "risk": 0.1}, "an estimate may be wrong"),
        ({"prior": "estimate", "coverage": 0.9}, "an estimate may be wrong"),
        ({"by": "class"}, "no coverage is given"),
        ({"method": "aps", "risk": 0.1}, "no coverage is given"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        DecisionRule(**setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"prior": "even"}, "even"),
        ({"prior": [0.5, 0.5]}, "2"),
        ({"prior": {"common": 1.0}}, "'other' has no share"),
        ({"costs": [[0, 1], [1, 0]]}, "3 true classes"),
        ({"costs": -np.array(COSTS)}, "at least 0"),
        ({"scoring": "warmth"}, "'warmth'"),
        ({"scoring": "neg_log_loss"}, "judges labels"),
        ({"top": 4}, "It is 4"),
        ({"coverage": 1.0}, "between 0 and 1"),
        ({"coverage": 0.9999}, "9999 held-out rows"),
        ({"risk": 0.0}, "between 0 and 1"),
        ({"risk": 0.01}, "lowest|takes"),
        ({"prior": [1e-6, 1e-6, 1 - 2e-6], "coverage": 0.999}, "999 held-out rows"),
    ],
)
def test_settings_that_do_not_fit_are_one_clear_error(setting: dict[str, Any], message: str) -> None:
    with pytest.raises((SettingError, ShapeError), match=message):
        decide([draw(5, 1)[0]], basis_of(300, 0), DecisionRule(**setting))


def test_promises_that_no_held_out_row_is_left_for_are_refused() -> None:
    new, held_out = draw(5, 1)[0], LabelledLogits(draw(20, 2)[0], np.zeros(20, np.int64))
    basis = dataclasses.replace(basis_of(1, 0), held_out=held_out)
    for setting in ({"coverage": 0.5}, {"risk": 0.5}, {"scoring": "f1_macro"}):
        with pytest.raises(SettingError, match="None of the 20 rows is left"):
            decide([new], basis, DecisionRule(prior=[1e-6, 1e-6, 1 - 2e-6], **setting))
    with pytest.raises(SettingError, match="There is 1 row"):
        decide([new], basis_of(1, 0), DecisionRule(scoring="f1_macro", risk=0.5))
    absent = dataclasses.replace(basis, prior=np.array([0.5, 0.5, 0.0]), decision_prior=np.array([0.5, 0.5, 0.0]))
    assert decide([new], absent, DecisionRule()).predicted.shape == (5,)
    with pytest.raises(SettingError, match="It had none of 'rare'"):
        decide([new], absent, DecisionRule(prior="uniform"))


def test_the_risk_holds_where_rows_come_in_the_shares_of_their_weights() -> None:
    def weigh(logits: np.ndarray) -> np.ndarray:
        # The rows that are hard to tell weigh more.
        return np.where(probs_of(logits).max(axis=1) < 0.6, 8.0, 1.0)

    new, _ = draw(20_000, 10**6 + 1)
    weight = weigh(new)
    risk = 0.3
    broken = {"weighted": 0, "not": 0}
    for seed in range(40):
        basis = basis_of(3000, seed)
        held_out = dataclasses.replace(basis.held_out, weight=weigh(basis.held_out.logits))
        for name, rows in (("weighted", held_out), ("not", basis.held_out)):
            rule = DecisionRule(risk=risk, seed=seed)
            answered = ~decide([new], dataclasses.replace(basis, held_out=rows), rule).abstains  # type: ignore[operator]
            right = np.take_along_axis(probs_of(new), new.argmax(axis=1)[:, None], axis=1)[:, 0]
            broken[name] += np.average(1 - right[answered], weights=weight[answered]) > risk
    assert broken["weighted"] <= 4
    assert broken["not"] >= 20


def test_equal_weights_decide_as_none() -> None:
    new, _ = draw(200, 1)
    basis = basis_of(500, 0)
    weighted = dataclasses.replace(basis, held_out=dataclasses.replace(basis.held_out, weight=np.full(500, 3.0)))
    rule = DecisionRule(scoring="f1_macro", coverage=0.8, method="aps", risk=0.3, prior=[0.4, 0.4, 0.2])
    expected, found = decide([new], basis, rule), decide([new], weighted, rule)
    np.testing.assert_array_equal(found.predicted, expected.predicted)
    np.testing.assert_array_equal(found.sets, expected.sets)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.abstains, expected.abstains)  # type: ignore[arg-type]
