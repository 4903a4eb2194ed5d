import numpy as np

from crossent.kinds.blocks import Features
from crossent.models.linear import fit
from crossent.models.model import Examples, Task
from crossent.models.objective import Objective
from crossent.models.settings import Linear
from crossent.monitoring.records import EpochRecord


def draw(rows: int, noise: int = 0, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 2 + noise)).astype(np.float32)
    codes = rng.integers(3, 6, size=(rows, 1)).astype(np.int32)
    logits = numbers[:, :2] @ np.array([[2.0, 0, -2], [0, 2, -2]]) + np.eye(3)[codes[:, 0] - 3]
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return Examples(Features(numbers, codes, (6,)), target, 3)


def test_learns_and_reports_every_step() -> None:
    records: list[EpochRecord] = []

    def watch(record: EpochRecord) -> bool:
        records.append(record)
        return False

    valid = draw(500, seed=1)
    fitted = fit(
        Linear(),
        Task(train=draw(500), valid=valid, objective=Objective(), rng=np.random.default_rng(0), on_epoch=watch),
    )
    logits = fitted.logits(valid.features)
    assert logits.dtype == np.float32
    assert (logits.argmax(axis=1) == valid.target).mean() > 0.75
    assert [record.epoch for record in records] == list(range(1, len(records) + 1))
    assert min(record.valid_loss for record in records) < 0.6


def test_held_out_rows_choose_a_stronger_penalty_for_noise() -> None:
    rng = np.random.default_rng(0)
    valid = draw(2000, noise=60, seed=1)
    chosen = fit(Linear(), Task(train=draw(80, noise=60), valid=valid, objective=Objective(), rng=rng))
    weak = fit(
        Linear(C=1000.0),
        Task(train=draw(80, noise=60), valid=valid, objective=Objective(), rng=rng),
    )
    assert (chosen.weight**2).sum() < (weak.weight**2).sum()


def test_a_class_without_rows_keeps_its_column() -> None:
    train = draw(100)
    some = Examples(train.features, train.target.clip(max=1), 3)
    fitted = fit(
        Linear(),
        Task(train=some, valid=None, objective=Objective(), rng=np.random.default_rng(0)),
    )
    logits = fitted.logits(train.features)
    assert logits.shape == (100, 3)
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) != 2).all()


def test_stops_when_told() -> None:
    seen = []

    def stop_at_once(record: EpochRecord) -> bool:
        seen.append(record)
        return True

    fit(
        Linear(),
        Task(
            train=draw(100),
            valid=draw(100, seed=1),
            objective=Objective(),
            rng=np.random.default_rng(0),
            on_epoch=stop_at_once,
        ),
    )
    assert len(seen) == 1
