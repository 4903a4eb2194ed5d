"""A row of weight 2 is to every model what two such rows are, and weights go with every remedy."""

from dataclasses import replace

import lightgbm
import numpy as np
import pytest
import torch

from crossent.fitting.recipe import Recipe
from crossent.fitting.remedies import apply_remedy
from crossent.kinds.blocks import Features
from crossent.logits import log_softmax
from crossent.models.catalogue import fit
from crossent.models.heads_loss import heads_loss, heads_target
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Boosting, Linear, Settings
from crossent.train.batches import Batch
from crossent.train.mixup import Mixup
from tests.conftest import draw_reviews
from tests.models.draw_examples import encode_texts
from tests.spies import spy

PRIOR = np.log([0.7, 0.2, 0.1])
OBJECTIVES = {
    "plain": Objective(),
    "class weight": Objective(class_weight=np.array([0.5, 2.0, 4.0])),
    "smoothing": Objective(label_smoothing=0.1),
    "log prior": Objective(log_prior=PRIOR, prior_correction=PRIOR),
    "all": Objective(class_weight=np.array([0.5, 2.0, 4.0]), log_prior=PRIOR, label_smoothing=0.1),
}


def draw(rows: int = 300, *, shares: bool = False, seed: int = 0) -> tuple[Examples, Examples]:
    """Return rows of weights 1 to 3, and the same rows as often as their weights say.

    A number has few values, each in many rows, so that it is binned alike with copies and without.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.integers(6, size=(rows, 2)).astype(np.float32)
    codes = rng.integers(4, size=(rows, 1)).astype(np.int32)
    score = np.column_stack([numbers[:, 0], numbers[:, 1], codes[:, 0]]) + rng.gumbel(size=(rows, 3))
    target = score.argmax(axis=1)
    distribution = rng.dirichlet(np.ones(3), size=rows).astype(np.float32) if shares else None
    weight = rng.integers(1, 4, size=rows)
    examples = Examples(Features(numbers, codes, (4,)), target, 3, distribution, weight.astype(np.float64))
    return examples, repeated(examples)


def repeated(examples: Examples) -> Examples:
    assert examples.weight is not None
    rows = examples.take(np.repeat(np.arange(len(examples.target)), examples.weight.astype(int)))
    return Examples(rows.features, rows.target, rows.classes, rows.distribution)


def of_numbers(examples: Examples) -> Examples:
    numbers = examples.features.numbers
    return replace(examples, features=Features(numbers, np.empty((len(numbers), 0), np.int32), ()))


def without_weights(examples: Examples) -> Examples:
    return Examples(examples.features, examples.target, examples.classes, examples.distribution)


def fitted_log_probs(
    settings: Settings, train: Examples, valid: Examples | None, objective: Objective, at: Features
) -> np.ndarray:
    task = Task(train=train, valid=valid, objective=objective, rng=np.random.default_rng(0))
    return log_softmax(fit(settings, task).logits(at))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("shares", [False, True])
def test_linear_models_learn_weights_as_copies(name: str, shares: bool) -> None:
    (weighted, copies), (valid, valid_copies) = draw(shares=shares), draw(200, seed=1)
    for settings in (Linear(C=0.3), Linear()):
        at = valid.features
        found = fitted_log_probs(settings, weighted, valid, OBJECTIVES[name], at)
        expected = fitted_log_probs(settings, copies, valid_copies, OBJECTIVES[name], at)
        without = fitted_log_probs(settings, without_weights(weighted), valid, OBJECTIVES[name], at)
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert np.abs(found - without).max() > 0.01


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("focal_gamma", [0.0, 2.0])
def test_trees_learn_weights_nearly_as_copies(name: str, shares: bool, focal_gamma: float) -> None:
    # LightGBM counts rows where it smooths categories and, by an estimate, in leaves; beside these, weights are copies.
    (weighted, copies), (valid, valid_copies) = (
        [of_numbers(each) for each in pair] for pair in (draw(900, shares=shares), draw(200, seed=1))
    )
    objective = OBJECTIVES[name]
    objective = Objective(objective.class_weight, objective.log_prior, None, objective.label_smoothing, focal_gamma)
    settings, at = Boosting(max_rounds=3), valid.features
    found = fitted_log_probs(settings, weighted, valid, objective, at)
    expected = fitted_log_probs(settings, copies, valid_copies, objective, at)
    without = fitted_log_probs(settings, without_weights(weighted), valid, objective, at)
    assert np.abs(found - expected).mean() < 0.6 * np.abs(without - expected).mean()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_lightgbm_is_given_the_weights_of_training_and_held_out_rows(name: str) -> None:
    (weighted, _), (valid, _) = draw(), draw(50, seed=1)
    objective = OBJECTIVES[name]
    with pytest.MonkeyPatch.context() as patch:
        calls = spy(patch, lightgbm, "train")
        task = Task(train=weighted, valid=valid, objective=objective, rng=np.random.default_rng(0))
        fit(Boosting(max_rounds=1), task)
    parameters, train_set, _, (valid_set, _), *_ = calls[0].args
    assert weighted.weight is not None
    of_class = np.ones(3) if objective.class_weight is None else objective.class_weight
    np.testing.assert_allclose(train_set.get_weight(), weighted.weight * of_class[weighted.target], rtol=1e-6)
    np.testing.assert_array_equal(valid_set.get_weight(), valid.weight)
    assert parameters["min_data_in_leaf"] == round(20 * 300 / weighted.weight.sum())


def test_weights_of_texts_are_copies_up_to_the_tolerance_of_the_solver() -> None:
    examples = encode_texts(draw_reviews(120))
    weight = np.random.default_rng(0).integers(1, 4, size=120).astype(np.float64)
    weighted = Examples(examples.features, examples.target, 3, weight=weight)
    found = fitted_log_probs(Linear(C=1.0), weighted, None, Objective(), examples.features)
    expected = fitted_log_probs(Linear(C=1.0), repeated(weighted), None, Objective(), examples.features)
    without = fitted_log_probs(Linear(C=1.0), examples, None, Objective(), examples.features)
    assert np.abs(found - expected).mean() < 0.1 * np.abs(without - expected).mean()


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("focal_gamma", [0.0, 2.0])
def test_a_network_loses_by_weights_what_it_loses_by_copies(name: str, shares: bool, focal_gamma: float) -> None:
    weighted, copies = draw(50, shares=shares)
    objective = OBJECTIVES[name]
    objective = Objective(objective.class_weight, objective.log_prior, None, objective.label_smoothing, focal_gamma)
    cpu = torch.device("cpu")
    assert weighted.weight is not None
    rows = torch.from_numpy(np.repeat(np.arange(50), weighted.weight.astype(int)))
    logits = torch.randn(2, 50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    slopes = []
    for examples, of_rows in ((weighted, torch.arange(50)), (copies, rows)):
        leaf = logits.clone().requires_grad_()
        target = heads_target(examples, cpu)
        loss = heads_loss(objective, examples, cpu)(leaf[:, of_rows], target.double() if target.ndim == 2 else target)
        loss.backward()
        slopes.append((loss.item(), leaf.grad))
    (loss, slope), (expected_loss, expected_slope) = slopes
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-4, atol=1e-7)


def test_mixed_rows_cost_the_mixture_of_weighted_losses() -> None:
    weighted, _ = draw(40)
    cpu = torch.device("cpu")
    loss, target = heads_loss(Objective(), weighted, cpu), heads_target(weighted, cpu)
    logits = torch.randn(1, 40, 3, generator=torch.Generator().manual_seed(0))
    mixup = Mixup(1.0, 3, torch.Generator().manual_seed(1))
    batch: Batch = (torch.eye(40),), target
    (shares,), mixed = mixup(batch)
    one_by_one = torch.stack([loss(logits, target[i].expand(40, 3)) for i in range(40)])
    of_rows = torch.stack([loss(logits[:, i : i + 1], target[j : j + 1]) for i in range(40) for j in range(40)])
    expected = (shares * of_rows.view(40, 40)).sum(1).mean()
    assert one_by_one.shape == (40,)
    assert loss(logits, mixed).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("imbalance", ["none", "class-weight", "oversample", "logit-adjust"])
def test_remedies_balance_weights_not_rows(imbalance: str) -> None:
    weighted, _ = draw(300)
    rng = np.random.default_rng(0)
    remedy = apply_remedy(weighted, Recipe(imbalance=imbalance), None, rng)  # type: ignore[arg-type]
    objective = remedy.objective
    row_weight = objective.row_weight(remedy.train.learned_target, remedy.train.weight)
    assert row_weight is not None
    seen = np.bincount(remedy.train.target, row_weight)
    before = np.bincount(weighted.target, weighted.weight)
    if imbalance in {"class-weight", "oversample"}:
        np.testing.assert_allclose(seen, seen.mean(), rtol=0.05)
    else:
        np.testing.assert_allclose(seen, before)
    if imbalance == "logit-adjust":
        np.testing.assert_allclose(np.exp(objective.log_prior), before / before.sum(), atol=0.01)
    if objective.prior_correction is not None and imbalance != "logit-adjust":
        implied = seen / seen.sum() * np.exp(objective.prior_correction)
        np.testing.assert_allclose(implied / implied.sum(), before / before.sum(), rtol=1e-6)
