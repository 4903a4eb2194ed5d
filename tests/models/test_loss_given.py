"""What the library or solver behind each model is really given: weights, priors, targets and shares of the classes."""

from types import ModuleType

import lightgbm
import numpy as np
import pytest
import torch

import crossent.models.heads_loss
import crossent.models.linear_ascent
import crossent.models.linear_newton
from crossent.data.encoder import fit_encoder
from crossent.data.read import read
from crossent.kinds.blocks import Features
from crossent.models.catalogue import fit
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Boosting, Linear, Network, Settings
from tests.conftest import draw_reviews
from tests.spies import Call, spy

WEIGHT = np.array([0.5, 2.0, 4.0])
LOG_PRIOR = np.log([0.7, 0.2, 0.1])
PRIOR_CORRECTION = np.array([0.3, -0.1, -0.2])


def draw(rows: int = 90, *, shares: bool = False, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    target = rng.choice(3, size=rows, p=[0.6, 0.3, 0.1])
    numbers = (rng.normal(size=(rows, 2)) + target[:, None]).astype(np.float32)
    distribution = rng.dirichlet(np.ones(3), size=rows).astype(np.float32) if shares else None
    return Examples(Features(numbers, np.empty((rows, 0), np.int32), ()), target, 3, distribution)


def texts() -> Examples:
    dataset = read(draw_reviews(60), "label")
    _, features = fit_encoder(dataset.frame, dataset.columns, dataset.target, 3)
    return Examples(features, dataset.target, 3)


def watch(module: ModuleType, name: str, settings: Settings, objective: Objective, train: Examples) -> Call:
    """Return the first call of a function while a model is fitted."""
    with pytest.MonkeyPatch.context() as patch:
        calls = spy(patch, module, name)
        valid = None if train.features.ngrams is not None else draw(40, seed=1)
        fit(settings, Task(train=train, valid=valid, objective=objective, rng=np.random.default_rng(0)))
    return calls[0]


def smoothed(target: np.ndarray, smoothing: float) -> np.ndarray:
    return np.asarray((1 - smoothing) * np.eye(3)[target] + smoothing / 3)


def train_trees(objective: Objective, train: Examples) -> tuple[lightgbm.Dataset, lightgbm.Dataset, object]:
    call = watch(lightgbm, "train", Boosting(max_rounds=2), objective, train)
    parameters, train_set, _, (valid_set, _), *_ = call.args
    return train_set, valid_set, parameters["objective"]


def test_lightgbm_gets_the_weight_of_each_row_and_held_out_rows_none() -> None:
    train = draw()
    train_set, valid_set, loss = train_trees(Objective(class_weight=WEIGHT, prior_correction=-np.log(WEIGHT)), train)
    np.testing.assert_allclose(train_set.get_weight(), WEIGHT[train.target])
    np.testing.assert_array_equal(train_set.get_label(), train.target)
    assert valid_set.get_weight() is None
    # Scores of held-out rows begin where they are logits under the prior of the data.
    np.testing.assert_allclose(valid_set.get_init_score(), np.tile(-np.log(WEIGHT), (40, 1)))
    assert train_set.get_init_score() is None
    assert loss == "multiclass"


def test_lightgbm_gets_the_log_prior_as_the_score_that_trees_add_to() -> None:
    train_set, valid_set, _ = train_trees(Objective(log_prior=LOG_PRIOR, prior_correction=PRIOR_CORRECTION), draw())
    np.testing.assert_allclose(train_set.get_init_score(), np.tile(LOG_PRIOR, (90, 1)))
    np.testing.assert_allclose(valid_set.get_init_score(), np.tile(PRIOR_CORRECTION, (40, 1)))
    assert train_set.get_weight() is None


@pytest.mark.parametrize("shares", [False, True])
def test_lightgbm_gets_a_loss_of_smoothed_labels_or_of_shares(shares: bool) -> None:
    train = draw(shares=shares)
    smoothing = 0.0 if shares else 0.2
    train_set, _, loss = train_trees(Objective(label_smoothing=smoothing, class_weight=WEIGHT), train)
    target = np.eye(3)[train.target] if train.distribution is None else train.distribution
    weight = target @ WEIGHT
    np.testing.assert_allclose(train_set.get_weight(), weight, rtol=1e-6)
    np.testing.assert_allclose(train_set.get_init_score(), np.tile(train.log_prior(), (90, 1)))
    scores = np.zeros((90, 3))
    gradient, _ = loss(scores, train_set)  # type: ignore[operator]
    expected = target * WEIGHT / weight[:, None]
    expected = (1 - smoothing) * expected + smoothing / 3
    np.testing.assert_allclose(gradient, (1 / 3 - expected) * weight[:, None], rtol=1e-5, atol=1e-6)


def test_lightgbm_gets_the_focal_loss() -> None:
    train = draw()
    train_set, _, loss = train_trees(Objective(focal_gamma=2.0), train)
    scores = np.random.default_rng(0).normal(size=(90, 3))
    gradient, _ = loss(scores, train_set)  # type: ignore[operator]
    logits = torch.tensor(scores, requires_grad=True)
    p = torch.softmax(logits, dim=1)[torch.arange(90), torch.tensor(train.target)]
    (-((1 - p) ** 2) * torch.log(p)).sum().backward()
    np.testing.assert_allclose(gradient, logits.grad, rtol=1e-5, atol=1e-6)


def test_newtons_method_gets_labels_and_weights_of_rows() -> None:
    train = draw()
    objective = Objective(class_weight=WEIGHT)
    data = watch(crossent.models.linear_newton, "solve_softmax_regression", Linear(C=1.0), objective, train).args[0]
    np.testing.assert_array_equal(data.targets.target, train.target)
    assert data.targets.distribution is None
    np.testing.assert_allclose(data.targets.row_weight, WEIGHT[train.target])


@pytest.mark.parametrize("shares", [False, True])
def test_newtons_method_gets_smoothed_labels_and_shares(shares: bool) -> None:
    train = draw(shares=shares)
    objective = Objective(label_smoothing=0.2)
    data = watch(crossent.models.linear_newton, "solve_softmax_regression", Linear(C=1.0), objective, train).args[0]
    expected = smoothed(train.target, 0.2) if train.distribution is None else 0.8 * train.distribution + 0.2 / 3
    assert data.targets.target is None
    assert data.targets.row_weight is None
    np.testing.assert_allclose(data.targets.distribution, expected, rtol=1e-6)


def test_dual_ascent_gets_the_weights_in_its_penalties_and_its_start() -> None:
    train = texts()
    objective = Objective(class_weight=WEIGHT, label_smoothing=0.1)
    call = watch(crossent.models.linear_ascent, "solve_by_block_ascent", Linear(C=4.0), objective, train)
    _, target, start = call.args
    np.testing.assert_array_equal(target, train.target)
    np.testing.assert_allclose(call.options["strength"], 4 * WEIGHT[train.target])
    assert call.options["label_smoothing"] == 0.1
    counts = (np.bincount(train.target) + 0.5) * WEIGHT
    np.testing.assert_allclose(start, np.log(counts / counts.sum()))


def test_a_linear_model_takes_the_log_prior_off_its_bias() -> None:
    train = draw()
    task = Task(train=train, valid=None, objective=Objective(), rng=np.random.default_rng(0))
    plain = fit(Linear(C=1.0), task)
    adjusting = Task(train=train, valid=None, objective=Objective(log_prior=LOG_PRIOR), rng=np.random.default_rng(0))
    adjusted = fit(Linear(C=1.0), adjusting)
    np.testing.assert_allclose(
        plain.logits(train.features) - adjusted.logits(train.features), [LOG_PRIOR] * 90, rtol=1e-4
    )


NETWORK = Network(max_epochs=1, learning_rate=0.01, batch_size=90)


def test_a_network_gets_weights_of_one_on_average() -> None:
    train = draw()
    call = watch(crossent.models.heads_loss, "cross_entropy", NETWORK, Objective(class_weight=WEIGHT), train)
    target, weight = call.args[1].numpy(), call.options["sample_weight"].numpy()
    heads = len(target) // 90
    assert np.bincount(target).tolist() == (heads * np.bincount(train.target)).tolist()
    np.testing.assert_allclose(weight, WEIGHT[target] / WEIGHT[train.target].mean(), rtol=1e-6)
    assert call.options["normalizer"] == len(target)


def test_a_network_gets_the_log_prior_the_smoothing_and_the_focal_exponent() -> None:
    call = watch(crossent.models.heads_loss, "cross_entropy", NETWORK, Objective(log_prior=LOG_PRIOR), draw())
    np.testing.assert_allclose(call.options["log_prior"], LOG_PRIOR, rtol=1e-6)
    assert call.options["sample_weight"] is None
    for option, value in (("label_smoothing", 0.2), ("focal_gamma", 2.0)):
        objective = Objective(**{option: value})  # type: ignore[arg-type]
        assert watch(crossent.models.heads_loss, "cross_entropy", NETWORK, objective, draw()).options[option] == value


def test_a_network_gets_shares_of_the_classes() -> None:
    train = draw(shares=True)
    target = watch(crossent.models.heads_loss, "cross_entropy", NETWORK, Objective(), train).args[1].numpy()
    assert train.distribution is not None
    # Batches are in a drawn order.
    found, expected = (values[np.lexsort(values.T)] for values in (target[:90], train.distribution))
    np.testing.assert_allclose(found, expected)
