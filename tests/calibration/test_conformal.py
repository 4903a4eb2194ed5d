import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin

from crossent.calibration.conformal import conformal_sets, prediction_sets
from crossent.calibration.conformal_groups import By, rows_needed
from crossent.calibration.conformity import Method, aps_scores, lac_scores
from crossent.errors import SettingError, ShapeError
from crossent.logits import LabelledLogits
from crossent.storage import load_folder, save_folder

METHODS, GROUPINGS = get_args(Method), get_args(By)


def draw(rows: int, class_count: int, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `sharpness` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, size=(rows, class_count)) - np.linspace(0, 2, class_count)
    target = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return (sharpness * honest).astype(np.float32), target


def apart_rows(rows: int, class_count: int, seed: int, folds: int = 1) -> LabelledLogits:
    logits, target = draw(rows, class_count, seed)
    return LabelledLogits(logits, target, np.arange(rows) % folds)


def sets_of(apart: LabelledLogits, models: list[np.ndarray], **settings: object) -> np.ndarray:
    return prediction_sets(apart, models, rng=np.random.default_rng(7), **settings)


def test_nine_rows_and_coverage_0_9_take_the_worst_of_the_nine() -> None:
    """ceil(0.9 · 10) = 9: the threshold is the largest of the nine scores."""
    probability = np.array([0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.4])
    held_out = np.log(np.column_stack([probability, 1 - probability]))
    new = np.log([[0.41, 0.59], [0.39, 0.61], [0.5, 0.5]])
    sets = conformal_sets(held_out, np.zeros(9, dtype=int), new, coverage=0.9)
    assert sets.tolist() == [[True, True], [False, True], [True, True]]
    # ceil(0.8 · 10) = 8: probabilities of 0.6 and more. The second row gets an empty set but for its second label.
    sets = conformal_sets(held_out, np.zeros(9, dtype=int), new, coverage=0.8)
    assert sets.tolist() == [[False, False], [False, True], [False, False]]


@pytest.mark.parametrize(("coverage", "rows"), [(0.9, 9), (0.8, 4), (0.95, 19), (0.99, 99), (0.55, 2), (0.7, 3)])
def test_rows_needed_are_exact_and_named(coverage: float, rows: int) -> None:
    assert rows_needed(coverage) == rows
    logits, target = draw(rows, 3, 0)
    new, _ = draw(5, 3, 1)
    conformal_sets(logits, target, new, coverage=coverage)
    with pytest.raises(SettingError, match=rf"needs {rows} held-out rows.* There are {rows - 1}\."):
        conformal_sets(logits[1:], target[1:], new, coverage=coverage)


def test_by_class_the_class_with_too_few_rows_is_named() -> None:
    logits, target = draw(300, 3, 0)
    few = (target != 2) | (np.cumsum(target == 2) <= 8)
    apart = LabelledLogits(logits[few], target[few], np.zeros(few.sum(), dtype=np.int64))
    with pytest.raises(SettingError, match=r"9 held-out rows of each class.* There are 8 of class 2\."):
        sets_of(apart, [logits], by="class")
    with pytest.raises(SettingError, match=r"There are 8 of class 'rare'\."):
        sets_of(apart, [logits], by="class", classes=("a", "b", "rare"))
    none = target != 2
    with pytest.raises(SettingError, match=r"There are 0 of class 2\."):
        conformal_sets(logits[none], target[none], logits, by="class")


# Coverage of new rows, over draws of the conformal rows, has a beta law: its mean is k / (m + 1) exactly.
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_is_exact_over_many_draws(method: Method, coverage: float) -> None:
    rows, draws, new_rows = 59, 300, 200
    met = []
    for seed in range(draws):
        # Overconfident logits: the promise needs no calibration.
        logits, target = draw(rows + new_rows, 4, seed, sharpness=2.0)
        sets = conformal_sets(logits[:rows], target[:rows], logits[rows:], coverage=coverage, method=method, seed=seed)
        met.append(sets[np.arange(new_rows), target[rows:]].mean())
    used = rows - round(0.2 * rows) if method == "raps" else rows
    expected = math.ceil(round(coverage * (used + 1), 9)) / (used + 1)
    spread = np.sqrt(expected * (1 - expected) * (1 / (used + 2) + 1 / new_rows) / draws)
    assert abs(np.mean(met) - expected) < 4 * spread


def test_by_class_every_class_is_covered_over_many_draws() -> None:
    draws, met = 150, np.zeros((150, 3))
    for seed in range(draws):
        logits, target = draw(700, 3, seed)
        sets = conformal_sets(logits[:200], target[:200], logits[200:], by="class", seed=seed)
        right = sets[np.arange(500), target[200:]]
        met[seed] = [right[target[200:] == k].mean() for k in range(3)]
    # Each class has 30 conformal rows or more, so that its coverage is at most 1 / 31 above the promise.
    spread = met.std(axis=0) / np.sqrt(draws)
    assert (met.mean(axis=0) > 0.9 - 4 * spread).all()
    assert (met.mean(axis=0) < 0.9 + 1 / 31 + 4 * spread).all()


def test_by_cluster_rare_classes_are_covered_together() -> None:
    met_common, met_rare = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        # Ten common classes of two kinds, easy and hard, and ten rare ones, which are harder still.
        target = np.concatenate([rng.integers(10, size=3000), rng.integers(10, 20, size=160)])
        signal = np.select([target < 5, target < 10], [6.0, 3.0], 1.5)
        logits = rng.normal(size=(3160, 20))
        logits[np.arange(3160), target] += signal
        half = rng.random(3160) < 0.5
        sets = conformal_sets(logits[half], target[half], logits[~half], by="cluster", seed=seed)
        right, new = sets[np.arange((~half).sum()), target[~half]], target[~half]
        met_common.append([right[new < 5].mean(), right[(new >= 5) & (new < 10)].mean()])
        met_rare.append(right[new >= 10].mean())
    assert np.abs(np.mean(met_common, axis=0) - 0.9).max() < 0.015
    assert np.mean(met_rare) > 0.9 - 0.015


def test_classes_too_rare_even_together_are_compared_with_all_rows() -> None:
    logits, target = draw(400, 3, 0)
    target = np.where(target == 2, np.where(np.cumsum(target == 2) <= 2, 2, 1), target)
    assert conformal_sets(logits, target, logits, by="cluster")[:, 2].any()


@pytest.mark.parametrize("by", GROUPINGS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("folds", [1, 3])
def test_two_classes_work(method: Method, by: By, folds: int) -> None:
    apart = apart_rows(400, 2, 0, folds)
    logits, target = draw(2000, 2, 1)
    sets = sets_of(apart, [logits] * folds, method=method, by=by)
    assert sets.shape == (2000, 2)
    assert sets.dtype == np.bool_
    assert sets[np.arange(2000), target].mean() == pytest.approx(0.9, abs=0.05)


@given(st.sampled_from(["lac", "aps"]), st.sampled_from(["overall", "class"]), st.floats(0.05, 0.9), st.integers(0, 50))
def test_sets_grow_with_coverage(method: Method, by: By, coverage: float, seed: int) -> None:
    apart = apart_rows(150, 3, seed, folds=2)
    models = [draw(30, 3, seed + i)[0] for i in (1, 2)]
    small, large = (sets_of(apart, models, method=method, by=by, coverage=c) for c in (coverage, 0.91))
    assert (large | ~small).all()


@given(st.sampled_from(METHODS), st.sampled_from(["overall", "class"]), st.integers(0, 50))
def test_classes_have_no_order(method: Method, by: By, seed: int) -> None:
    apart = apart_rows(200, 4, seed, folds=2)
    models = [draw(30, 4, seed + i)[0] for i in (1, 2)]
    order = np.random.default_rng(seed).permutation(4)
    permuted = LabelledLogits(apart.logits[:, order], np.argsort(order)[apart.target], apart.fold)
    sets = sets_of(apart, models, method=method, by=by, coverage=0.7)
    permuted_sets = sets_of(permuted, [one[:, order] for one in models], method=method, by=by, coverage=0.7)
    assert (sets[:, order] == permuted_sets).mean() > 0.99  # sums in another order round otherwise, at the threshold


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("by", ["overall", "class"])
def test_several_models_follow_the_definition_of_cv_plus(method: Method, by: By) -> None:
    apart = apart_rows(61, 3, 0, folds=4)
    # Coarse logits, so that scores tie within and between folds.
    apart = LabelledLogits(apart.logits.round(0), apart.target, apart.fold)
    models = [draw(40, 3, 10 + i)[0].round(0) for i in range(4)]
    rng = np.random.default_rng(7)
    uniform, new_uniform = rng.random(61), rng.random(40)
    if method == "lac":
        own, new = lac_scores(apart.logits), [lac_scores(one) for one in models]
    else:
        own, new = aps_scores(apart.logits, uniform), [aps_scores(one, new_uniform) for one in models]
    own = own[np.arange(61), apart.target]
    expected = np.zeros((40, 3), dtype=bool)
    for x in range(40):
        for y in range(3):
            rows = [i for i in range(61) if by == "overall" or apart.target[i] == y]
            lower = sum(own[i] < new[apart.fold[i]][x, y] for i in rows)
            expected[x, y] = lower < math.ceil(round(0.8 * (len(rows) + 1), 9))
    np.testing.assert_array_equal(sets_of(apart, models, method=method, by=by, coverage=0.8), expected)


def test_several_equal_models_give_the_sets_of_one() -> None:
    one, several = apart_rows(200, 4, 0), apart_rows(200, 4, 0, folds=5)
    logits, _ = draw(100, 4, 1)
    for method in METHODS:
        np.testing.assert_array_equal(
            sets_of(one, [logits], method=method), sets_of(several, [logits] * 5, method=method)
        )


class _Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose probabilities are its inputs."""

    def __init__(self, class_count: int) -> None:
        self.classes_ = np.arange(class_count)
        self.is_fitted_ = True

    def predict_proba(self, probs: np.ndarray) -> np.ndarray:
        return probs

    def predict(self, probs: np.ndarray) -> np.ndarray:
        return probs.argmax(axis=1)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_lac_is_what_mapie_gives(coverage: float) -> None:
    logits, target = draw(700, 6, 0)
    probs = np.exp(-lac_scores(logits))
    model = SplitConformalClassifier(_Given(6), confidence_level=coverage, conformity_score="lac")
    model.conformalize(probs[:200], target[:200])
    _, expected = model.predict_set(probs[200:])
    sets = conformal_sets(logits[:200], target[:200], logits[200:], coverage=coverage)
    np.testing.assert_array_equal(sets, expected[:, :, 0])


def test_many_rows_in_pieces_get_the_same_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    apart, (logits, _) = apart_rows(200, 4, 0), draw(100, 4, 1)
    whole = sets_of(apart, [logits], method="aps")
    monkeypatch.setattr("crossent.calibration.conformal._CHUNK", 28)
    np.testing.assert_array_equal(sets_of(apart, [logits], method="aps"), whole)


def test_no_new_rows_get_no_sets() -> None:
    assert sets_of(apart_rows(50, 3, 0), [np.zeros((0, 3), dtype=np.float32)]).shape == (0, 3)


def test_rows_kept_apart_can_be_stored(tmp_path: Path) -> None:
    apart = apart_rows(20, 3, 0, folds=2)
    save_folder(tmp_path / "model", apart, {})
    loaded = load_folder(tmp_path / "model", LabelledLogits)
    for name in ("logits", "target", "fold"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(apart, name))


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 90, math.nan])
def test_coverage_outside_its_bounds(coverage: float) -> None:
    with pytest.raises(SettingError, match=rf"between 0 and 1.*{coverage}"):
        sets_of(apart_rows(50, 3, 0), [draw(5, 3, 1)[0]], coverage=coverage)


def test_bad_input_gets_one_error() -> None:
    apart, (logits, target) = apart_rows(50, 3, 0), draw(50, 3, 1)
    with pytest.raises(SettingError, match="method is one of lac, aps, raps"):
        sets_of(apart, [logits], method="naive")
    with pytest.raises(SettingError, match="by is one of overall, class, cluster"):
        sets_of(apart, [logits], by="row")
    with pytest.raises(ShapeError, match=r"\(50, 4\) beside \(50, 3\)"):
        sets_of(apart, [draw(50, 4, 0)[0]])
    with pytest.raises(ShapeError, match="1 models, and a row of fold 1"):
        sets_of(apart_rows(50, 3, 0, folds=2), [logits])
    with pytest.raises(ShapeError, match="Row 0 holds"):
        conformal_sets(logits, target, np.full((1, 3), np.inf))
    with pytest.raises(ShapeError, match="Row 2 holds 3"):
        conformal_sets(logits, np.where(np.arange(50) == 2, 3, target), logits)
    with pytest.raises(ShapeError, match="class ind"):
        conformal_sets(logits, target.astype(float), logits)
    with pytest.raises(ShapeError, match="fold holds the number of a model"):
        LabelledLogits(logits, target, np.full(50, -1))


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
@pytest.mark.parametrize("by", ["overall", "class"])
def test_equal_weights_change_nothing(method: Method, by: By) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, size=(900, 3))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    of_rows = logits[:500], target[:500], logits[500:]
    without = conformal_sets(*of_rows, coverage=0.9, method=method, by=by)
    for weight in (1.0, 0.1, 7.0):
        weighted = conformal_sets(*of_rows, coverage=0.9, method=method, by=by, sample_weight=np.full(500, weight))
        np.testing.assert_array_equal(weighted, without)


def test_the_threshold_is_the_weighted_quantile() -> None:
    # Minus the log-probability of the right label is 0.1, 0.2, … 2.0; the heaviest row weighs 4.
    score = np.arange(1, 21) / 10
    held_out = np.log(np.column_stack([np.exp(-score), 1 - np.exp(-score)]))
    weight = np.tile([1.0, 4.0], 10)
    new_score = np.linspace(0.05, 2.5, 200)
    new = np.log(np.column_stack([np.exp(-new_score), 1 - np.exp(-new_score)]))
    sets = conformal_sets(held_out, np.zeros(20, int), new, coverage=0.8, sample_weight=weight)
    mass = 0.8 * (weight.sum() + weight.max())
    lower = np.array([weight[score < one - 1e-6].sum() for one in new_score])
    np.testing.assert_array_equal(sets[:, 0], lower < mass)


def test_a_row_of_weight_zero_is_no_row() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, size=(300, 3))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    weight = np.tile([0.0, 1.0], 100)
    sets = conformal_sets(logits[:200], target[:200], logits[200:], sample_weight=weight)
    np.testing.assert_array_equal(sets, conformal_sets(logits[1:200:2], target[1:200:2], logits[200:]))


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_the_coverage_holds_where_rows_come_in_the_shares_of_the_weights(method: Method) -> None:
    rng = np.random.default_rng(0)
    covered, without = [], []
    for _ in range(60):
        logits = rng.normal(0, 2, size=(1200, 3))
        sure = logits[:, 0] > 1
        target = np.where(sure, rng.integers(3, size=1200), (logits + rng.gumbel(size=logits.shape)).argmax(axis=1))
        weight = np.where(sure, 5.0, 1.0)
        # New rows are drawn as the weights say.
        new = rng.choice(np.arange(400, 1200), 400, p=weight[400:] / weight[400:].sum())
        for found, of_rows in ((covered, weight[:400]), (without, None)):
            sets = conformal_sets(
                logits[:400], target[:400], logits[new], coverage=0.8, method=method, sample_weight=of_rows
            )
            found.append(sets[np.arange(400), target[new]].mean())
    assert 0.79 < np.mean(covered) < 0.82
    assert np.mean(without) < 0.75


def test_rows_of_which_one_weighs_too_much_promise_nothing() -> None:
    logits = np.random.default_rng(0).normal(size=(60, 3))
    weight = np.ones(50)
    weight[7] = 30
    with pytest.raises(SettingError, match=r"weigh 2\.63 times that one"):
        conformal_sets(logits[:50], np.zeros(50, int), logits[50:], sample_weight=weight)


def test_by_class_each_class_has_a_largest_weight_of_its_own() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, size=(900, 3))
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    of_rows = logits[:500], target[:500], logits[500:]
    weight = np.array([1.0, 50.0, 1000.0])[target[:500]]
    expected = conformal_sets(*of_rows, by="class")
    np.testing.assert_array_equal(conformal_sets(*of_rows, by="class", sample_weight=weight), expected)
