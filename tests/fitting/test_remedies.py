from typing import Literal

import numpy as np
import pytest

from crossent.errors import SettingError
from crossent.fitting.recipe import Recipe
from crossent.fitting.remedies import Remedy, apply_remedy, effective_prior, measured_strength, named_class_weight
from crossent.kinds.blocks import Features
from crossent.logits import LabelledLogits
from crossent.models.catalogue import fit
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Boosting, Linear

PRIOR = np.array([0.8, 0.17, 0.03])
REMEDIES = ("class-weight", "oversample", "logit-adjust")
Imbalance = Literal["none", "class-weight", "oversample", "logit-adjust", "focal"]


def draw(rows: int, seed: int = 0) -> Examples:
    """Three classes that are normal around points of their own: the logits of the truth are linear."""
    rng = np.random.default_rng(seed)
    target = rng.choice(3, size=rows, p=PRIOR)
    numbers = (np.array([[0.0, 0], [1.5, 0], [0, 1.5]])[target] + rng.normal(size=(rows, 2))).astype(np.float32)
    return Examples(Features(numbers, np.empty((rows, 0), np.int32), ()), target, 3)


def true_log_probs(examples: Examples, prior: np.ndarray) -> np.ndarray:
    distance = ((examples.features.numbers[:, None] - np.array([[0.0, 0], [1.5, 0], [0, 1.5]])) ** 2).sum(axis=2)
    logits = np.log(prior) - distance / 2
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def remedy(imbalance: Imbalance, train: Examples) -> Remedy:
    return apply_remedy(train, Recipe(imbalance=imbalance), None, np.random.default_rng(0))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("imbalance", REMEDIES)
def test_a_linear_model_believes_that_all_classes_are_as_common_and_is_brought_back(imbalance: Imbalance) -> None:
    train, new = draw(60_000), draw(2000, seed=1)
    found = remedy(imbalance, train)
    fitted = fit(
        Linear(C=1.0), Task(train=found.train, valid=None, objective=found.objective, rng=np.random.default_rng(0))
    )
    logits = fitted.logits(new.features)
    prior_correction = found.objective.prior_correction_or_zeros(3)
    prior = np.bincount(train.target) / len(train.target)
    np.testing.assert_allclose(effective_prior(prior, prior_correction), 1 / 3, atol=1e-3)
    # Its probabilities are right for equally common classes, and after the prior correction for the shares of the data.
    assert np.abs(log_softmax(logits) - true_log_probs(new, np.full(3, 1 / 3))).mean() < 0.06
    assert np.abs(log_softmax(logits + prior_correction) - true_log_probs(new, prior)).mean() < 0.06
    assert measured_strength(LabelledLogits(logits, new.target), prior_correction) > 0.9


@pytest.mark.parametrize("imbalance", REMEDIES)
def test_boosted_trees_find_more_of_the_rare_class(imbalance: Imbalance) -> None:
    train, new = draw(4000), draw(4000, seed=1)
    recalls = []
    for name in ("none", imbalance):
        found = remedy(name, train)  # type: ignore[arg-type]
        fitted = fit(
            Boosting(max_rounds=30),
            Task(train=found.train, valid=new, objective=found.objective, rng=np.random.default_rng(0)),
        )
        recalls.append((fitted.logits(new.features).argmax(axis=1) == 2)[new.target == 2].mean())
    assert recalls[1] > recalls[0] + 0.1


@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"imbalance": "focal"}])
def test_trees_with_a_loss_of_their_own_are_as_good_as_those_of_lightgbm(options: dict[str, object]) -> None:
    train, valid, new = draw(4000), draw(2000, seed=1), draw(4000, seed=2)
    losses = []
    for recipe in (Recipe(), Recipe(**options)):  # type: ignore[arg-type]
        found = apply_remedy(train, recipe, None, np.random.default_rng(0))
        fitted = fit(
            Boosting(), Task(train=found.train, valid=valid, objective=found.objective, rng=np.random.default_rng(0))
        )
        log_probs = log_softmax(fitted.logits(new.features))
        losses.append(-log_probs[np.arange(4000), new.target].mean())
    assert losses[1] < losses[0] * 1.05


def test_a_class_without_rows_is_left_alone() -> None:
    train = draw(300)
    some = Examples(train.features, train.target % 2, 3)
    prior = np.bincount(some.target, minlength=3) / 300
    for imbalance in REMEDIES:
        objective = remedy(imbalance, some).objective
        believed = effective_prior(prior, objective.prior_correction_or_zeros(3))
        np.testing.assert_allclose(believed, [0.5, 0.5, 0.0], atol=0.01)


def test_the_strength_of_a_remedy_is_what_rows_held_out_show() -> None:
    rows, prior_correction = draw(20_000), np.log([1.0, 0.2, 0.05])
    honest = true_log_probs(rows, PRIOR)
    for strength in (0.0, 0.4, 1.0):
        logits = (honest - strength * prior_correction).astype(np.float32)
        assert measured_strength(LabelledLogits(logits, rows.target), prior_correction) == pytest.approx(
            strength, abs=0.05
        )


def test_weights_by_hand_are_in_the_order_of_the_classes() -> None:
    weight = named_class_weight({"b": 3.0, "a": 1.0, "7": 2.0}, ("a", "b", 7))
    assert weight is not None
    assert weight.tolist() == [1.0, 3.0, 2.0]
    assert named_class_weight(None, ("a", "b")) is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1.0, "c": 2.0}, "Unknown: 'c'"),
        ({"a": 1.0}, "None for 'b'"),
        ({"a": 1.0, "b": 0.0}, "That of 'b' is 0.0"),
        ({"a": 1.0, "b": float("nan")}, "That of 'b' is nan"),
    ],
)
def test_weights_by_hand_must_fit_the_classes(weights: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        named_class_weight(weights, ("a", "b"))


def test_held_out_rows_are_judged_under_the_shares_of_the_data() -> None:
    objective = Objective(prior_correction=np.log([3.0, 1.0]))
    assert objective.held_out_loss(np.zeros((1, 2)), np.array([0])) == pytest.approx(-np.log(0.75))


@pytest.mark.parametrize("imbalance", REMEDIES)
def test_certain_shares_are_remedied_as_labels_are(imbalance: Imbalance) -> None:
    train = draw(500)
    certain = Examples(train.features, train.target, 3, np.eye(3, dtype=np.float32)[train.target])
    expected, found = remedy(imbalance, train), remedy(imbalance, certain)
    for name in ("class_weight", "log_prior", "prior_correction"):
        values = getattr(expected.objective, name), getattr(found.objective, name)
        assert (values[0] is None) == (values[1] is None)
        if values[0] is not None:
            np.testing.assert_allclose(values[0], values[1], rtol=1e-6)
    assert found.train.distribution is not None
    assert (found.train.distribution.argmax(axis=1) == expected.train.target).all()


def test_balanced_weights_are_of_shares_where_rows_have_several_classes() -> None:
    """By hand: 2 rows, of which the classes have 1.5 and 0.5: rows by (classes times these)."""
    shares = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    features = Features(np.zeros((2, 1), np.float32), np.empty((2, 0), np.int32), ())
    found = remedy("class-weight", Examples(features, np.array([0, 0]), 2, shares)).objective.class_weight
    assert found is not None
    np.testing.assert_allclose(found, [2 / 3, 2.0])


@pytest.mark.parametrize(("shown", "expected"), [(1.6, 1.0), (-0.6, 0.0)])
def test_the_strength_of_a_remedy_is_never_above_its_theory_or_below_nothing(shown: float, expected: float) -> None:
    rows, restoring = draw(20_000), np.log([1.0, 0.2, 0.05])
    logits = (true_log_probs(rows, PRIOR) - shown * restoring).astype(np.float32)
    assert measured_strength(LabelledLogits(logits, rows.target), restoring) == pytest.approx(expected, abs=0.01)
