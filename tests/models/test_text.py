import dataclasses

import numpy as np
import pytest
import scipy.sparse

import crossent.models.text as module
from crossent.calibration.temperature import best_temperature
from crossent.data.table import Features
from crossent.kernels.library import KernelInfo
from crossent.losses.arrays import mean_cross_entropy
from crossent.models.model import Examples
from crossent.models.objective import Objective
from crossent.models.text import FittedTextRegression, TextRegression, matrix_of
from crossent.train.monitor import EpochRecord, ignore_epoch

T = 60


def draw(rows: int, seed: int) -> Examples:
    """Three classes that follow from sparse features, a number and a category together."""
    rng = np.random.default_rng(seed)
    texts = scipy.sparse.random_array((rows, T), density=0.15, format="csr", rng=rng, dtype=np.float32)
    numbers = rng.normal(size=(rows, 1)).astype(np.float32)
    codes = rng.integers(4, size=(rows, 1)).astype(np.int32)
    weight = np.random.default_rng(99).normal(size=(T, 3)) * 3
    logits = texts @ weight + numbers * [1.0, 0.0, -1.0] + (codes == 2) * [0.0, 2.0, 0.0]
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return Examples(Features(numbers, codes, (4,), texts), target, 3)


def fit(model: TextRegression, train: Examples, valid: Examples | None) -> FittedTextRegression:
    return model.fit(train, valid, objective=Objective(), rng=np.random.default_rng(0), on_epoch=ignore_epoch)


def test_all_features_stand_side_by_side() -> None:
    features = draw(5, 0).features
    assert features.texts is not None
    expected = np.hstack([features.numbers, np.eye(4)[features.codes[:, 0]], features.texts.toarray()])
    np.testing.assert_array_equal(matrix_of(features).toarray(), expected)


def test_every_sort_of_feature_has_a_say() -> None:
    train, test = draw(1500, 1), draw(1500, 2)
    whole = mean_cross_entropy(fit(TextRegression(C=1.0), train, None).logits(test.features), test.target)
    for part in ("numbers", "codes", "texts"):
        blank = {part: getattr(train.features, part) * 0}
        without = dataclasses.replace(train, features=dataclasses.replace(train.features, **blank))
        lost = mean_cross_entropy(fit(TextRegression(C=1.0), without, None).logits(test.features), test.target)
        assert lost > whole + 0.01, part


def test_logits_are_the_linear_form_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    train = draw(100, 1)
    fitted = fit(TextRegression(C=1.0), train, None)
    expected = matrix_of(train.features).astype(np.float64) @ fitted.weight + fitted.bias
    np.testing.assert_allclose(fitted.logits(train.features), expected, atol=1e-5)
    monkeypatch.setattr(module, "CHUNK", 7)
    np.testing.assert_allclose(fitted.logits(train.features), expected, atol=1e-5)
    assert fitted.logits(train.features.take(np.empty(0, np.int64))).shape == (0, 3)


def test_rows_held_out_choose_the_penalty() -> None:
    train, valid = draw(60, 1), draw(400, 2)
    records: list[EpochRecord] = []

    def watch(record: EpochRecord) -> bool:
        records.append(record)
        return False

    chosen = TextRegression().fit(train, valid, objective=Objective(), rng=np.random.default_rng(0), on_epoch=watch)
    losses = []
    for strength in module.PATH:
        logits = fit(TextRegression(C=strength), train, None).logits(valid.features)
        losses.append(mean_cross_entropy(logits / best_temperature(logits, valid.target), valid.target))
    assert losses[module.PATH.index(chosen.C)] < min(losses) + 0.01
    assert [record.epoch for record in records] == list(range(1, len(records) + 1))
    train_losses = [record.train_loss for record in records]
    assert train_losses == sorted(train_losses, reverse=True)


def test_it_ends_when_it_is_told_to() -> None:
    fitted = TextRegression().fit(
        draw(200, 1), draw(100, 2), objective=Objective(), rng=np.random.default_rng(0), on_epoch=lambda _: True
    )
    assert fitted.C in module.PATH[:2]


def test_without_kernels_the_model_is_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    train = draw(400, 1)
    native = fit(TextRegression(C=1.0), train, None).logits(train.features)
    monkeypatch.setattr(module, "info", lambda: KernelInfo(False, "", "", "", "", "off"))
    plain = fit(TextRegression(C=1.0), train, None).logits(train.features)
    assert mean_cross_entropy(plain, train.target) == pytest.approx(mean_cross_entropy(native, train.target), abs=0.01)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        FittedTextRegression(np.zeros((4, 3), np.float32), np.zeros(2, np.float32), (), 1.0)
