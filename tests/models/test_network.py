import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from crossent.kinds.blocks import Features
from crossent.logits import log_softmax, mean_cross_entropy
from crossent.models.model import Examples, Task
from crossent.models.network import FittedNetwork, fit, search_learning_rate
from crossent.models.objective import Objective
from crossent.models.settings import Network
from crossent.monitoring.records import EpochRecord
from crossent.storage import load_folder, save_folder
from crossent.train.checkpoint import Checkpoint, TrainingInterruptedError
from crossent.train.learning_rate import LearningRateCurve
from tests.models.draw_examples import draw


def fit_to(
    train: Examples,
    valid: Examples | None = None,
    *,
    objective: Objective | None = None,
    epochs: int = 15,
    seed: int = 0,
) -> FittedNetwork:
    return fit(
        Network(max_epochs=epochs),
        Task(train=train, valid=valid, objective=objective or Objective(), rng=np.random.default_rng(seed)),
    )


def arrays(value: FittedNetwork) -> list[npt.NDArray[np.float32]]:
    fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
    flat = [item for field in fields for item in (field if isinstance(field, tuple) else (field,))]
    return [item for item in flat if isinstance(item, np.ndarray)]


def test_learns_what_is_not_linear() -> None:
    valid = draw(1000, seed=1)
    logits = fit_to(draw(2000), valid).logits(valid.features)
    assert logits.dtype == np.float32
    assert (logits.argmax(axis=1) == valid.target).mean() > 0.95


def test_returns_the_epoch_of_lowest_refinement() -> None:
    records: list[EpochRecord] = []

    def watch(record: EpochRecord) -> bool:
        records.append(record)
        return False

    rng = np.random.default_rng(3)
    train, valid = draw(300), draw(300, seed=1)
    noisy = [dataclasses.replace(e, target=np.where(rng.random(300) < 0.3, 0, e.target)) for e in (train, valid)]
    model = Network(dropout=0.0, max_epochs=40)
    fitted = fit(model, Task(train=noisy[0], valid=noisy[1], objective=Objective(), rng=rng, on_epoch=watch))
    best = min(records, key=lambda record: record.refinement or np.inf)
    assert best.epoch < len(records)
    assert mean_cross_entropy(fitted.logits(valid.features), noisy[1].target) == pytest.approx(best.valid_loss)


@pytest.mark.parametrize("lacking", ["numbers", "categories"])
def test_learns_from_tables_without_numbers_or_categories(lacking: str) -> None:
    rng = np.random.default_rng(0)
    codes, numbers = rng.integers(3, size=(600, 2)).astype(np.int32), rng.normal(size=(600, 2)).astype(np.float32)
    none = np.empty((600, 0))
    if lacking == "numbers":
        features = Features(none.astype(np.float32), codes, (3, 3))
        target = (codes[:, 0] + codes[:, 1]) % 3
    else:
        features = Features(numbers, none.astype(np.int32), ())
        target = np.digitize(numbers[:, 0] * numbers[:, 1], [-0.3, 0.3])
    fitted = fit_to(Examples(features, target.astype(np.int64), 3), epochs=30)
    assert (fitted.logits(features).argmax(axis=1) == target).mean() > 0.9


@pytest.mark.slow
def test_same_bytes_by_one_thread_and_by_two_where_there_are_rows_enough_for_them() -> None:
    # Large batches go through the network in halves.
    for size in (None, 2048):
        found = []
        for count in (1, 2):
            before = torch.get_num_threads()
            torch.set_num_threads(count)
            try:
                model = Network(max_epochs=2, batch_size=size, dropout=0.1)
                rng = np.random.default_rng(0)
                found.append(fit(model, Task(train=draw(9000), valid=None, objective=Objective(), rng=rng)))
            finally:
                torch.set_num_threads(before)
        assert [one.tobytes() for one in arrays(found[0])] == [one.tobytes() for one in arrays(found[1])]


def test_weights_decay_and_codes_without_rows_stay_at_zero() -> None:
    train = draw(300)
    features = dataclasses.replace(train.features, cardinalities=tuple(n + 1 for n in train.features.cardinalities))
    weights = []
    for decay in (0.0, 5.0):
        model = Network(max_epochs=5, weight_decay=decay)
        examples = dataclasses.replace(train, features=features)
        rng = np.random.default_rng(0)
        fitted = fit(model, Task(train=examples, valid=None, objective=Objective(), rng=rng))
        assert (fitted.category_table[-1] == 0).all()
        assert (fitted.category_table[:-1] != 0).any()
        weights.append(np.abs(fitted.weights[1]).mean())
    assert weights[1] < 0.9 * weights[0]


def test_same_seed_same_bytes_whatever_the_threads_and_the_global_generator() -> None:
    train, valid = draw(300), draw(100, seed=1)
    first = fit_to(train, valid, epochs=3)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(99)
        state = torch.random.get_rng_state()
        second = fit_to(train, valid, epochs=3)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert [one.tobytes() for one in arrays(first)] == [one.tobytes() for one in arrays(second)]
    assert fit_to(train, valid, epochs=3, seed=1).weights[0].tobytes() != first.weights[0].tobytes()


def test_comes_back_from_a_folder_to_the_bit(tmp_path: Path) -> None:
    fitted, features = fit_to(draw(300), epochs=2), draw(50, seed=1).features
    save_folder(tmp_path / "model", fitted, {})
    loaded = load_folder(tmp_path / "model", FittedNetwork)
    assert np.array_equal(loaded.logits(features), fitted.logits(features))


def test_arrays_that_do_not_fit_are_refused() -> None:
    fitted = fit_to(draw(300), epochs=1)
    with pytest.raises(ValueError, match="does not fit"):
        dataclasses.replace(fitted, cardinalities=(7,))
    with pytest.raises(ValueError, match="make no network"):
        dataclasses.replace(fitted, weights=fitted.weights[:1])


def test_a_row_has_the_same_logits_alone_and_among_others() -> None:
    fitted, features = fit_to(draw(300), epochs=2), draw(5000, seed=1).features
    alone = fitted.logits(features.take(np.array([4500])))
    np.testing.assert_allclose(fitted.logits(features)[4500:4501], alone, atol=1e-5)
    assert fitted.logits(features.take(np.zeros(5000, dtype=bool))).shape == (0, 3)


def test_a_class_without_rows_keeps_its_column() -> None:
    train = draw(300)
    logits = fit_to(Examples(train.features, train.target.clip(max=1), 3)).logits(train.features)
    assert logits.shape == (300, 3)
    assert (logits.argmax(axis=1) != 2).all()


@pytest.mark.parametrize("remedy", ["class_weight", "log_prior"])
def test_remedies_move_the_logits_as_far_as_they_say(remedy: str) -> None:
    """Where features say nothing, a network believes in the class shares that its loss implies."""
    rng = np.random.default_rng(0)
    target = rng.choice(3, size=3000, p=[0.6, 0.3, 0.1])
    train = Examples(Features(np.zeros((3000, 1), np.float32), np.empty((3000, 0), np.int32), ()), target, 3)
    shares = np.bincount(target) / 3000
    balanced = 1 / (3 * shares)
    objective = {
        "class_weight": Objective(class_weight=balanced, prior_correction=-np.log(balanced)),
        "log_prior": Objective(log_prior=np.log(shares), prior_correction=np.log(shares)),
    }[remedy]
    logits = fit_to(train, objective=objective).logits(train.features)
    np.testing.assert_allclose(np.exp(log_softmax(logits))[0], 1 / 3, atol=0.02)
    restored = np.exp(log_softmax(logits + objective.prior_correction_or_zeros(3)))[0]
    np.testing.assert_allclose(restored, shares, atol=0.02)


@pytest.mark.parametrize(
    ("objective", "belief"),
    [(Objective(focal_gamma=2.0), [0.8, 0.2]), (Objective(label_smoothing=0.2), [0.74, 0.26])],
)
def test_the_focal_loss_is_taken_back_and_smoothing_left_to_calibration(
    objective: Objective, belief: list[float]
) -> None:
    target = (np.arange(3000) % 5 == 0).astype(np.int64)
    train = Examples(Features(np.zeros((3000, 1), np.float32), np.empty((3000, 0), np.int32), ()), target, 2)
    logits = fit_to(train, objective=objective).logits(train.features)
    np.testing.assert_allclose(np.exp(log_softmax(logits))[0], belief, atol=0.02)


def test_a_search_for_the_rate_leaves_threads_and_generators_alone_and_heeds_the_objective() -> None:
    train = draw(600)
    before, state = torch.get_num_threads(), torch.random.get_rng_state()

    def search(objective: Objective, model: Network) -> LearningRateCurve:
        task = Task(train=train, valid=None, objective=objective, rng=np.random.default_rng(0))
        _, curve = search_learning_rate(dataclasses.replace(model, find_lr=True), lambda: task)
        assert curve is not None
        return curve

    first, second = (search(Objective(), Network()) for _ in range(2))
    assert torch.get_num_threads() == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.losses.tobytes() == second.losses.tobytes()
    weighted = search(Objective(class_weight=np.array([1.0, 1.0, 50.0])), Network())
    assert weighted.losses[0] != first.losses[0]
    rates = [search(Objective(), Network(max_epochs=epochs)).suggested for epochs in (10, 1000)]
    assert rates[1] < rates[0]


def test_shares_of_classes_are_learned_and_weighted() -> None:
    """Where features say nothing, a network comes to believe in the mean of the shares, times the weights."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([3.0, 2.0, 1.0], size=3000).astype(np.float32)
    features = Features(np.zeros((3000, 1), np.float32), np.empty((3000, 0), np.int32), ())
    train = Examples(features, np.zeros(3000, np.int64), 3, shares)
    weight = np.array([1.0, 2.0, 4.0])
    mean = shares.mean(axis=0)
    for objective, expected in [(Objective(), mean), (Objective(class_weight=weight), mean * weight)]:
        logits = fit_to(train, objective=objective).logits(features)
        np.testing.assert_allclose(np.exp(log_softmax(logits))[0], expected / expected.sum(), atol=0.02)


class Interruption:
    """Asks to interrupt after a number of steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def __call__(self) -> bool:
        self._left -= 1
        return self._left == 0


def test_with_mixup_and_dropout_it_learns_and_goes_on_to_the_bit_after_an_interruption(tmp_path: Path) -> None:
    train, valid = draw(600), draw(300, seed=1)

    def fit_mixed(mixup: float, checkpoint: Checkpoint | None = None) -> FittedNetwork:
        model = Network(max_epochs=8, mixup=mixup, dropout=0.1)
        rng = np.random.default_rng(0)
        return fit(model, Task(train=train, valid=valid, objective=Objective(), rng=rng, checkpoint=checkpoint))

    straight = fit_mixed(0.3)
    assert (straight.logits(valid.features).argmax(axis=1) == valid.target).mean() > 0.9
    with pytest.raises(TrainingInterruptedError):
        fit_mixed(0.3, Checkpoint(tmp_path, Interruption(25)))
    resumed = fit_mixed(0.3, Checkpoint(tmp_path, lambda: False))
    assert [one.tobytes() for one in arrays(straight)] == [one.tobytes() for one in arrays(resumed)]
    assert fit_mixed(0.0).weights[0].tobytes() != straight.weights[0].tobytes()
