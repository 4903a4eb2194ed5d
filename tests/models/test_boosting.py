import dataclasses

import numpy as np
import pytest
import torch

from crossent.errors import ShapeError
from crossent.kinds.blocks import Features
from crossent.logits import mean_cross_entropy
from crossent.losses.cross_entropy import cross_entropy
from crossent.models.boosting import FittedBoosting, fit, loss_derivatives
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Boosting
from crossent.monitoring.records import EpochRecord
from tests.models.draw_examples import draw


def fit_to(train: Examples, valid: Examples | None, rounds: int = 200) -> FittedBoosting:
    return fit(
        Boosting(max_rounds=rounds), Task(train=train, valid=valid, objective=Objective(), rng=np.random.default_rng(0))
    )


def test_learns_what_is_not_linear() -> None:
    valid = draw(1000, seed=1)
    logits = fit_to(draw(2000), valid).logits(valid.features)
    assert logits.dtype == np.float32
    assert (logits.argmax(axis=1) == valid.target).mean() > 0.95


def test_stops_at_the_best_round_of_the_rows_held_out() -> None:
    records: list[EpochRecord] = []

    def watch(record: EpochRecord) -> bool:
        records.append(record)
        return False

    rng = np.random.default_rng(3)
    train, valid = draw(300), draw(300, seed=1)
    noisy = [dataclasses.replace(e, target=np.where(rng.random(300) < 0.3, 0, e.target)) for e in (train, valid)]
    fitted = fit(Boosting(), Task(train=noisy[0], valid=noisy[1], objective=Objective(), rng=rng, on_epoch=watch))
    best = min(record.valid_loss for record in records)
    assert len(records) < 2000
    assert mean_cross_entropy(fitted.logits(valid.features), noisy[1].target) == pytest.approx(best, abs=1e-4)


def test_stays_stable_where_a_class_has_a_handful_of_rows() -> None:
    rng = np.random.default_rng(0)
    n = 8000
    numbers = rng.normal(size=(n, 3)).astype(np.float32)
    target = (numbers[:, 0] > 0.8).astype(np.int64)
    target[numbers[:, 1] > 2.9] = 2
    assert 3 <= (target == 2).sum() <= 30
    features = Features(numbers, np.empty((n, 0), dtype=np.int32), ())
    examples = Examples(features, target, 3)
    even = np.arange(n) % 2 == 0
    fitted = fit_to(examples.take(even), examples.take(~even), rounds=400)
    assert mean_cross_entropy(fitted.logits(features.take(~even)), target[~even]) < 0.02


def test_a_class_without_rows_keeps_its_column() -> None:
    train = draw(300)
    some = Examples(train.features, train.target.clip(max=1), 3)
    logits = fit_to(some, None, rounds=5).logits(train.features)
    assert logits.shape == (300, 3)
    assert (logits.argmax(axis=1) != 2).all()


def test_trees_for_other_classes_are_refused() -> None:
    fitted = fit_to(draw(300), None, rounds=2)
    with pytest.raises(ValueError, match="for 3 classes, and the bias"):
        FittedBoosting(fitted.trees, np.zeros(4), 0.0)


@pytest.mark.parametrize(
    ("bias", "focal_gamma"), [(np.nan, 0.0), (np.inf, 0.0), (0.0, -1.0), (0.0, np.nan), (0.0, 1e9)]
)
def test_what_would_give_no_probabilities_is_refused(bias: float, focal_gamma: float) -> None:
    fitted = fit_to(draw(300), None, rounds=2)
    with pytest.raises(ValueError, match=r"the bias|focal loss"):
        FittedBoosting(fitted.trees, np.full(3, bias), focal_gamma)


@pytest.mark.parametrize(("numbers", "codes"), [(3, 1), (1, 1), (2, 0), (1, 2), (3, 0)])
def test_rows_of_other_widths_are_refused(numbers: int, codes: int) -> None:
    fitted = fit_to(draw(300), None, rounds=5)
    rows = Features(np.zeros((4, numbers), np.float32), np.zeros((4, codes), np.int32), (6,) * codes)
    assert fitted.trees.num_features == 3
    with pytest.raises(ShapeError, match=f"there are {numbers} numbers and {codes} codes"):
        fitted.logits(rows)


def test_no_rows_give_no_logits() -> None:
    fitted = fit_to(draw(300), None, rounds=2)
    empty = draw(10).features.take(np.zeros(10, dtype=bool))
    assert fitted.logits(empty).shape == (0, 3)


def test_same_seed_same_trees() -> None:
    first, second = (dataclasses.astuple(fit_to(draw(500), draw(100, seed=1), 20).trees) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("focal_gamma", [0.0, 2.0])
@pytest.mark.parametrize("certain", [True, False])
def test_derivatives_are_those_of_the_losses(focal_gamma: float, certain: bool) -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(50, 4)) * 2).requires_grad_()
    distribution = np.eye(4)[rng.integers(4, size=50)] if certain else rng.dirichlet(np.ones(4), size=50)
    loss = cross_entropy(logits, torch.from_numpy(distribution), reduction="sum", focal_gamma=focal_gamma)
    (expected,) = torch.autograd.grad(loss, logits)
    gradient, curvature = loss_derivatives(logits.detach().numpy(), distribution, focal_gamma)
    np.testing.assert_allclose(gradient, expected.numpy(), atol=1e-12)
    assert (curvature > 0).all()
