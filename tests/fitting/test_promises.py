"""What reaches whom: the rows, settings and priors that each stage of a training is really given."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import crossent.fitting.cross_fit
import crossent.fitting.fit
from crossent.data.dataset import Dataset
from crossent.data.read import read
from crossent.fitting.cross_fit import LEAST_GAIN_OF_AVERAGE, CrossFit
from crossent.fitting.fit import FitResult, fit
from crossent.fitting.recipe import Recipe
from crossent.logits import mean_cross_entropy, shift_prior
from crossent.models.model import Examples, Task
from crossent.models.settings import Boosting, Linear, Network
from tests.conftest import draw_reviews
from tests.spies import Call, spy

ROWS, FOLDS = 241, 3
QUICK = {
    "linear": Linear(C=1.0),
    "boosting": Boosting(max_rounds=8),
    "network": Network(max_epochs=2, learning_rate=0.01),
}


def draw_rare(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Three classes, of which two are rare; no two rows have the same `x`, which names them."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, rows))
    score = np.column_stack([np.full(rows, 1.5), 1.5 * x - 0.5, 1.5 * z - 1])
    label = np.array(["a", "b", "c"])[(score + rng.gumbel(size=score.shape)).argmax(axis=1)]
    return pd.DataFrame({"x": x, "z": z, "label": label})


@dataclass(frozen=True)
class Watched:
    """A training, and what its stages were given."""

    dataset: Dataset
    result: FitResult
    fold_fits: list[Call]
    cross_fits: list[CrossFit]
    calibrations: list[Call]
    strengths: list[Call]
    refits: list[Call]

    def tasks(self, model: str) -> list[Task]:
        """Return what the fits of a candidate were given."""
        return [call.args[1] for call in self.fold_fits if call.args[1].name == model]

    def rows_of(self, examples: Examples) -> np.ndarray:
        """Return the positions of rows in the dataset, known by the order of their `x`."""
        task = self.fold_fits[0].args[1]
        # Oversampled rows are there more than once.
        everyone = np.unique(np.concatenate([side.features.numbers[:, 0] for side in (task.train, task.valid)]))
        position = np.argsort(self.dataset.frame["x"].to_numpy())
        return np.asarray(position[np.searchsorted(everyone, examples.features.numbers[:, 0])])


def watch_fit(dataset: Dataset, recipe: Recipe) -> Watched:
    with pytest.MonkeyPatch.context() as patch:
        fold_fits = spy(patch, crossent.fitting.cross_fit, "fit")
        calibrations = spy(patch, crossent.fitting.cross_fit, "choose_calibration")
        strengths = spy(patch, crossent.fitting.cross_fit, "measured_strength")
        cross_fits = spy(patch, crossent.fitting.fit, "cross_fit")
        refits = spy(patch, crossent.fitting.fit, "fit_model")
        result = fit(dataset, recipe)
    of_candidates = [call.result for call in cross_fits]
    return Watched(dataset, result, fold_fits, of_candidates, calibrations, strengths, refits)


@pytest.fixture(scope="module")
def auto() -> Watched:
    """Return a training that chooses the candidate in the middle: nothing of the first or the last can pass for it."""
    settings = {**QUICK, "linear": Linear(C=0.001), "network": Network(max_epochs=2, learning_rate=1e-4)}
    return watch_fit(read(draw_rare(), "label"), Recipe(folds=FOLDS, **settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weighted() -> Watched:
    recipe = Recipe(model="boosting", folds=FOLDS, imbalance="class-weight", boosting=Boosting(max_rounds=60))
    return watch_fit(read(draw_rare(), "label"), recipe)


@pytest.fixture(scope="module")
def reviews() -> Watched:
    frame = draw_reviews(120)
    frame = frame[(frame["label"] != "unsure") | (np.arange(120) % 3 == 0)]
    return watch_fit(read(frame, "label"), Recipe(folds=FOLDS, imbalance="class-weight"))


def rows_for_calibration(watched: Watched) -> np.ndarray:
    """Return which of the held-out rows calibration saw, known by the logits of the linear model: no two are equal."""
    everyone = watched.cross_fits[0].held_out.logits
    places = {row.tobytes(): i for i, row in enumerate(everyone)}
    assert len(places) == len(everyone)
    seen = [places[row.tobytes()] for row in watched.calibrations[0].args[0]]
    assert seen == sorted(set(seen))
    return np.array(seen)


def test_the_folds_hold_out_every_row_once_and_train_on_all_others(auto: Watched) -> None:
    for model in QUICK:
        held_out: list[int] = []
        for task in auto.tasks(model):
            assert task.valid is not None
            train, valid = auto.rows_of(task.train), auto.rows_of(task.valid)
            assert sorted([*train, *valid]) == list(range(ROWS))
            np.testing.assert_array_equal(task.train.target, auto.dataset.target[train])
            np.testing.assert_array_equal(task.valid.target, auto.dataset.target[valid])
            held_out.extend(valid)
        assert len(auto.tasks(model)) == FOLDS
        assert sorted(held_out) == list(range(ROWS))


def test_all_candidates_share_the_folds(auto: Watched) -> None:
    first, *others = ([task.valid for task in auto.tasks(model)] for model in QUICK)
    for of_model in others:
        for expected, valid in zip(first, of_model, strict=True):
            assert expected is not None
            assert valid is not None
            np.testing.assert_array_equal(auto.rows_of(expected), auto.rows_of(valid))


def test_held_out_logits_are_those_of_the_model_that_did_not_see_the_row(auto: Watched) -> None:
    for cross_fit in auto.cross_fits:
        rows = cross_fit.held_out
        for fold, task in enumerate(auto.tasks(cross_fit.trial.model)):
            of_fold = rows.take(rows.model_index == fold)
            assert task.valid is not None
            np.testing.assert_array_equal(of_fold.logits, cross_fit.models[fold].logits(task.valid.features))
            np.testing.assert_array_equal(of_fold.target, task.valid.target)


def test_calibration_sees_two_thirds_of_the_held_out_rows_and_prediction_sets_rest_on_the_others(auto: Watched) -> None:
    seen = rows_for_calibration(auto)
    unseen = np.setdiff1d(np.arange(ROWS), seen)
    assert len(seen) == ROWS - ROWS // 3
    # All candidates are calibrated and judged by the same rows.
    for cross_fit, calibration in zip(auto.cross_fits, auto.calibrations, strict=True):
        held_out, conformal_rows = cross_fit.held_out, cross_fit.conformal_rows
        logits, target, method = calibration.args
        assert method == "auto"
        np.testing.assert_array_equal(logits, held_out.logits[seen])
        np.testing.assert_array_equal(target, held_out.target[seen])
        np.testing.assert_array_equal(conformal_rows.logits, calibration.result.logits(held_out.logits[unseen]))
        np.testing.assert_array_equal(conformal_rows.target, held_out.target[unseen])
        np.testing.assert_array_equal(conformal_rows.model_index, held_out.model_index[unseen])
        assert cross_fit.trial.calibration is calibration.result
        assert cross_fit.trial.log_loss == calibration.result.log_loss_before


def test_the_rows_that_calibration_does_not_see_are_drawn_by_the_seed_among_all_folds_and_classes(
    auto: Watched,
) -> None:
    conformal_rows = auto.cross_fits[0].conformal_rows
    assert np.bincount(conformal_rows.model_index, minlength=FOLDS).min() > ROWS // 3 // FOLDS / 2
    assert set(conformal_rows.target) == {0, 1, 2}
    other = watch_fit(auto.dataset, Recipe(model="linear", folds=FOLDS, linear=Linear(C=1.0), seed=1))
    assert not np.array_equal(rows_for_calibration(other), rows_for_calibration(auto))


def test_too_few_rows_to_calibrate_leave_calibration_out_and_serve_for_prediction_sets() -> None:
    dataset = read(draw_rare(29, seed=3), "label")
    few = watch_fit(dataset, Recipe(model="linear", folds=2, linear=Linear(C=1.0)))
    assert not few.calibrations
    assert few.result.trials[0].calibration.note == "29 held-out rows are too few to correct confidence"
    assert len(few.result.predictor.conformal_rows) == 29
    enough = watch_fit(read(draw_rare(46, seed=3), "label"), Recipe(model="linear", folds=2, linear=Linear(C=1.0)))
    assert len(enough.calibrations[0].args[0]) == 31
    assert len(enough.result.predictor.conformal_rows) == 15


def test_the_predictor_is_the_chosen_candidate(auto: Watched) -> None:
    losses = [trial.calibrated_log_loss for trial in auto.result.trials]
    assert [trial.model for trial in auto.result.trials] == list(QUICK)
    best = auto.cross_fits[int(np.argmin(losses))]
    predictor = auto.result.predictor
    assert auto.result.chosen == int(np.argmin(losses)) == 1
    assert [member.candidate for member in predictor.members] == [best.trial.model] * FOLDS
    assert [member.model for member in predictor.members] == list(best.models)
    np.testing.assert_allclose(predictor.combination.weight, 1 / FOLDS)
    np.testing.assert_array_equal(predictor.conformal_rows.logits, best.conformal_rows.logits)
    assert predictor.calibration is best.trial.calibration
    np.testing.assert_array_equal(predictor.prior, np.bincount(auto.dataset.target) / ROWS)
    assert not auto.refits


def test_the_lowest_loss_after_calibration_wins_though_it_is_not_the_lowest_before(auto: Watched) -> None:
    """So strong a penalty leaves a linear model far too uncertain, which a temperature mends."""
    settings = {**QUICK, "linear": Linear(C=0.01), "network": Network(max_epochs=1, learning_rate=1e-4)}
    result = fit(auto.dataset, Recipe(folds=2, **settings))  # type: ignore[arg-type]
    before = [trial.log_loss for trial in result.trials]
    after = [trial.calibrated_log_loss for trial in result.trials]
    assert int(np.argmin(before)) != int(np.argmin(after))
    assert result.chosen == int(np.argmin(after))


def test_the_prior_correction_is_as_measured_on_the_rows_for_calibration(weighted: Watched, auto: Watched) -> None:
    (cross_fit,), (call,) = weighted.cross_fits, weighted.strengths
    rows, prior_correction = call.args
    held_out, tasks, prior = cross_fit.held_out, weighted.tasks("boosting"), weighted.result.predictor.prior
    valid = [task.valid for task in tasks if task.valid is not None]
    raw = np.concatenate([model.logits(rows.features) for model, rows in zip(cross_fit.models, valid, strict=True)])
    # The seed and the folds are those of the other training.
    seen = rows_for_calibration(auto)
    np.testing.assert_array_equal(rows.logits, raw[seen])
    np.testing.assert_array_equal(rows.target, held_out.target[seen])
    fold = held_out.model_index
    for i, (task, believed) in enumerate(zip(tasks, cross_fit.effective_priors, strict=True)):
        counts = np.bincount(task.train.target)
        # By the theory, balanced weights move logits by their logarithms.
        theory = np.log(counts * 3 / counts.sum())
        np.testing.assert_allclose(prior_correction[fold[seen] == i] - theory, 0, atol=1e-12)
        expected = prior * np.exp(-call.result * theory)
        np.testing.assert_allclose(believed, expected / expected.sum())
        np.testing.assert_array_equal(held_out.logits[fold == i], shift_prior(raw[fold == i], believed, prior))
    assert 0.05 < call.result < 0.95
    assert not np.array_equal(cross_fit.effective_priors[0], cross_fit.effective_priors[1])
    believed_by_members = [member.effective_prior for member in weighted.result.predictor.members]
    np.testing.assert_array_equal(believed_by_members, cross_fit.effective_priors)


def test_predicted_classes_are_chosen_for_the_prior_that_the_remedy_means(weighted: Watched) -> None:
    np.testing.assert_allclose(weighted.cross_fits[0].decision_prior, 1 / 3, atol=0.01)
    np.testing.assert_array_equal(weighted.result.predictor.decision_prior, weighted.cross_fits[0].decision_prior)


def test_without_a_remedy_nothing_is_measured_or_corrected(auto: Watched) -> None:
    assert not auto.strengths
    predictor = auto.result.predictor
    for member in predictor.members:
        np.testing.assert_array_equal(member.effective_prior, predictor.prior)
    np.testing.assert_array_equal(predictor.decision_prior, predictor.prior)


@pytest.mark.parametrize(("folds", "expected"), [(1, 0.0), (2, LEAST_GAIN_OF_AVERAGE)])
def test_a_correction_of_an_average_has_to_gain_one_percent(folds: int, expected: float) -> None:
    watched = watch_fit(read(draw_rare(), "label"), Recipe(model="linear", folds=folds, linear=Linear(C=1.0)))
    assert LEAST_GAIN_OF_AVERAGE == 0.01
    assert [call.options for call in watched.calibrations] == [{"weight": None, "least_gain": expected}]


def test_a_model_fitted_to_all_rows_needs_no_such_gain_and_one_temperature(reviews: Watched) -> None:
    (call,) = reviews.calibrations
    assert call.options == {"weight": None, "least_gain": 0.0}
    assert call.args[2] == "temperature"
    assert reviews.result.predictor.conformal_rows.fold is None


def test_the_fit_to_all_rows_has_the_remedy_and_the_middle_of_the_penalties(reviews: Watched) -> None:
    (call,) = reviews.refits
    settings, task = call.args
    np.testing.assert_array_equal(task.train.target, reviews.dataset.target)
    assert task.valid is None
    counts = np.bincount(reviews.dataset.target)
    np.testing.assert_allclose(task.objective.class_weight, counts.sum() / (3 * counts))
    penalties = [fold_fit.result.C for fold_fit in reviews.fold_fits]
    assert len(set(penalties)) > 1, penalties
    assert penalties[-1] != pytest.approx(np.exp(np.mean(np.log(penalties))))
    assert pytest.approx(np.exp(np.mean(np.log(penalties)))) == settings.C
    (member,) = reviews.result.predictor.members
    assert member.model is call.result
    assert member.candidate == "linear"
    np.testing.assert_allclose(member.effective_prior, reviews.cross_fits[0].effective_priors.mean(axis=0))
    np.testing.assert_allclose(reviews.result.predictor.combination.weight, [1.0])


def test_text_is_encoded_anew_for_each_fold_and_no_row_is_lost(reviews: Watched) -> None:
    targets = []
    for task in reviews.tasks("linear"):
        assert task.valid is not None
        assert len(task.train.target) + len(task.valid.target) == len(reviews.dataset)
        targets.extend(task.valid.target)
    assert np.bincount(targets).tolist() == np.bincount(reviews.dataset.target).tolist()


def test_one_split_holds_out_a_fifth(weighted: Watched) -> None:
    one = watch_fit(weighted.dataset, Recipe(model="linear", folds=1, linear=Linear(C=1.0)))
    (task,) = one.tasks("linear")
    assert task.valid is not None
    assert len(task.valid.target) == ROWS // 5
    assert sorted([*one.rows_of(task.train), *one.rows_of(task.valid)]) == list(range(ROWS))


@pytest.mark.parametrize(("rows", "expected"), [(239, 5), (240, 1)])
def test_many_rows_are_split_once_and_fewer_five_times(
    rows: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crossent.fitting.fit.MANY_ROWS == 20_000
    assert crossent.fitting.fit.MANY_TEXTS == 4_000
    monkeypatch.setattr(crossent.fitting.fit, "MANY_ROWS", 240)
    dataset = read(draw_rare(rows), "label")
    assert fit(dataset, Recipe(model="linear", linear=Linear(C=1.0))).trials[0].folds == expected


def test_with_a_time_the_latest_fifth_is_held_out() -> None:
    frame = draw_rare().assign(day=np.random.default_rng(1).permutation(ROWS).astype(float))
    watched = watch_fit(read(frame, "label", time="day"), Recipe(model="linear", linear=Linear(C=1.0)))
    (task,) = watched.tasks("linear")
    assert task.valid is not None
    day = frame["day"].to_numpy()
    assert sorted(day[watched.rows_of(task.valid)]) == list(range(ROWS - ROWS // 5, ROWS))


def test_groups_and_copies_are_on_one_side_of_every_fold() -> None:
    frame = draw_rare(120)
    frame = pd.concat([frame, frame.head(30)], ignore_index=True)
    frame["who"] = np.random.default_rng(0).integers(0, 40, size=150).astype(str)
    dataset = read(frame, "label", groups="who")
    with pytest.MonkeyPatch.context() as patch:
        calls = spy(patch, crossent.fitting.fit, "folds")
        fit(dataset, Recipe(model="linear", folds=FOLDS, linear=Linear(C=1.0)))
    (fold,) = (call.result for call in calls)
    assert set(fold) == set(range(FOLDS))
    for name in ("who", "x"):
        assert len({*zip(frame[name], fold, strict=True)}) == frame[name].nunique()


REMEDIES: dict[str, dict[str, Any]] = {
    "class-weight": {"imbalance": "class-weight"},
    "by-hand": {"class_weight": {"a": 1.0, "b": 2.0, "c": 5.0}},
    "oversample": {"imbalance": "oversample"},
    "logit-adjust": {"imbalance": "logit-adjust"},
    "focal": {"imbalance": "focal"},
    "smoothing": {"label_smoothing": 0.2},
}


# Softmax regression takes no focal loss.
@pytest.mark.parametrize(
    ("model", "name"),
    [(model, name) for model in QUICK for name in REMEDIES if (model, name) != ("linear", "focal")],
)
def test_every_model_is_given_the_remedy(model: str, name: str, auto: Watched) -> None:
    settings = {**QUICK, "boosting": Boosting(max_rounds=1), "network": Network(max_epochs=1, learning_rate=0.01)}
    watched = watch_fit(auto.dataset, Recipe(model=model, folds=FOLDS, **REMEDIES[name], **settings))  # type: ignore[arg-type]
    by_hand = np.array([1.0, 2.0, 5.0])
    # The folds are those of the training without a remedy.
    for task, plain in zip(watched.tasks(model), auto.tasks(model), strict=True):
        counts = np.bincount(plain.train.target)
        balanced = counts.sum() / (3 * counts)
        log_prior = np.log((counts + 0.5) / (counts + 0.5).sum())
        expected = {
            "class-weight": {"class_weight": balanced, "prior_correction": -np.log(balanced)},
            "by-hand": {"class_weight": by_hand, "prior_correction": -np.log(by_hand)},
            "oversample": {"prior_correction": np.log(counts / counts.max())},
            "logit-adjust": {"log_prior": log_prior, "prior_correction": log_prior},
            "focal": {"focal_gamma": 2.0},
            "smoothing": {"label_smoothing": 0.2},
        }[name]
        for option in ("class_weight", "log_prior", "prior_correction"):
            given = getattr(task.objective, option)
            assert (given is None) == (option not in expected)
            if given is not None:
                np.testing.assert_allclose(given, expected[option])
        assert task.objective.label_smoothing == expected.get("label_smoothing", 0.0)
        assert task.objective.focal_gamma == expected.get("focal_gamma", 0.0)
        shown = np.full(3, counts.max()) if name == "oversample" else counts
        assert np.bincount(task.train.target).tolist() == shown.tolist()
        assert set(watched.rows_of(task.train)) == set(auto.rows_of(plain.train))
        assert task.valid is not None
        assert plain.valid is not None
        np.testing.assert_array_equal(watched.rows_of(task.valid), auto.rows_of(plain.valid))


def test_candidates_of_other_folds_are_compared_by_the_calibrated_loss_on_the_first(
    auto: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Network, "one_split_rows", ROWS)
    settings = {**QUICK, "linear": Linear(C=0.01)}
    watched = watch_fit(auto.dataset, Recipe(seed=1, **settings))  # type: ignore[arg-type]
    assert [trial.folds for trial in watched.result.trials] == [5, 5, 1]
    on_first, before = [], []
    for cross_fit in watched.cross_fits:
        of_first = cross_fit.held_out.model_index == 0
        target = cross_fit.held_out.target[of_first]
        calibrated = cross_fit.trial.calibration.logits(cross_fit.held_out.logits)[of_first]
        on_first.append(mean_cross_entropy(calibrated, target))
        before.append(mean_cross_entropy(cross_fit.held_out.logits[of_first], target))
    on_all = [trial.calibrated_log_loss for trial in watched.result.trials]
    # Neither of the other two comparisons would choose this one.
    assert int(np.argmin(on_first)) not in {int(np.argmin(before)), int(np.argmin(on_all))}
    assert watched.result.chosen == int(np.argmin(on_first))
