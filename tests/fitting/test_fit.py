import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

import crossent.fitting.cross_fit
import crossent.fitting.fit
from crossent.data.labels import label_positions
from crossent.data.read import read
from crossent.errors import DataError, SettingError
from crossent.fitting.fit import fit
from crossent.fitting.recipe import Recipe
from crossent.logits import mean_cross_entropy
from crossent.models.model import Task
from crossent.models.network import USUAL_RATE, search_learning_rate
from crossent.models.objective import Objective
from crossent.models.settings import Boosting, Linear, Network
from crossent.monitoring.records import EpochRecord
from tests.conftest import draw_reviews, draw_table

QUICK = Recipe(folds=2, boosting=Boosting(max_rounds=20), network=Network(max_epochs=15))


def test_auto_keeps_the_model_with_the_lower_held_out_loss(table: pd.DataFrame) -> None:
    result = fit(read(table, "label"), QUICK)
    assert [trial.model for trial in result.trials] == ["linear", "boosting", "network"]
    losses = [trial.calibrated_log_loss for trial in result.trials]
    assert result.chosen == int(np.argmin(losses))
    assert not result.stopped


@pytest.mark.parametrize("model", ["linear", "boosting", "network"])
def test_probabilities_on_new_rows_beat_the_prior(model: str) -> None:
    result = fit(
        read(draw_table(600), "label"), dataclasses.replace(QUICK, model=model, boosting=Boosting(max_rounds=100))
    )
    new = draw_table(600, seed=1)
    target = label_positions(new["label"], result.predictor.classes)
    prior = -np.log(result.predictor.prior[target]).mean()
    assert mean_cross_entropy(result.predictor.logits(new), target) < 0.8 * prior


def test_held_out_loss_is_what_the_held_out_rows_say() -> None:
    dataset = read(draw_table(200), "label")
    result = fit(dataset, Recipe(model="linear", folds=1, calibration="none"))
    assert result.trials[0].folds == 1
    assert result.trials[0].calibration.note == "not asked for"
    assert 0.2 < result.trials[0].log_loss < 1.1


def test_same_seed_same_bytes_another_seed_others(table: pd.DataFrame) -> None:
    dataset = read(table, "label")
    first, second = (fit(dataset, QUICK).predictor.logits(table) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    other = fit(dataset, dataclasses.replace(QUICK, seed=1)).predictor.logits(table)
    assert other.tobytes() != first.tobytes()


def test_a_class_with_one_row_keeps_its_column(table: pd.DataFrame) -> None:
    rare = pd.concat([table, table.head(1).assign(label="rare")], ignore_index=True)
    for model in ("linear", "boosting", "network"):
        result = fit(read(rare, "label"), dataclasses.replace(QUICK, model=model))
        assert result.predictor.classes == ("a", "b", "c", "rare")
        probs = result.predictor.probs(rare)
        assert probs.shape == (301, 4)
        np.testing.assert_allclose(probs.sum(axis=1), 1.0)


def test_told_to_stop_it_ends_with_whole_folds() -> None:
    seen: list[EpochRecord] = []

    def stop_in_third_fold(record: EpochRecord) -> bool:
        seen.append(record)
        return record.model == "linear" and record.fold == 3

    result = fit(read(draw_table(200), "label"), Recipe(folds=5), on_epoch=stop_in_third_fold)
    assert result.stopped
    assert [trial.model for trial in result.trials] == ["linear"]
    assert result.trials[0].folds == len(result.predictor.members) == 2
    assert sum(record.fold == 3 for record in seen) == 1


def test_told_to_stop_at_once_it_still_ends_with_a_model(table: pd.DataFrame) -> None:
    result = fit(read(table, "label"), QUICK, on_epoch=lambda _record: True)
    assert result.stopped
    assert np.isfinite(result.predictor.logits(table)).all()


def test_groups_are_never_parted_between_folds() -> None:
    """Labels follow the group alone: only a leak between folds could predict them."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(60), 5)
    secret = rng.normal(size=60)[who]
    frame = pd.DataFrame({"secret": secret, "who": who, "y": rng.integers(0, 2, size=60)[who]})
    recipe = Recipe(model="boosting", folds=5, boosting=Boosting(learning_rate=0.3, max_rounds=60))
    honest = fit(read(frame, "y", groups="who"), recipe)
    leaky = fit(read(frame.drop(columns="who"), "y"), dataclasses.replace(recipe, duplicates="anywhere"))
    assert honest.trials[0].log_loss > 0.6
    assert leaky.trials[0].log_loss < 0.3


def test_rows_that_are_all_alike_are_an_error() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0] * 20, "who": ["p"] * 40, "y": [0, 1] * 20})
    with pytest.raises(DataError, match="hold out"):
        fit(read(frame, "y", groups="who"), QUICK)


def test_text_takes_one_linear_model_fitted_to_all_rows() -> None:
    reviews = read(draw_reviews(200), "label")
    result = fit(reviews, Recipe(folds=3))
    (trial,) = result.trials
    assert (trial.model, trial.folds, trial.refitted) == ("linear", 3, True)
    assert len(result.predictor.members) == 1
    for model in ("boosting", "network"):
        with pytest.raises(SettingError, match=f"Model {model} does not read columns of text"):
            fit(reviews, Recipe(model=model))


def test_ngrams_of_rows_held_out_are_not_learned() -> None:
    """Each label is a separate word in its text: a model that learned held-out words would know all labels."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b"], size=100)
    texts = [f"the same long text of many words x{i:04d}" for i in range(100)]
    frame = pd.DataFrame({"text": texts, "label": labels})
    seen: list[int] = []
    module_fit = crossent.fitting.fit.fit_encoder

    def watch(frame: pd.DataFrame, *rest: Any) -> Any:
        seen.append(len(frame))
        return module_fit(frame, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossent.fitting.fit, "fit_encoder", watch)
        fit(read(frame, "label"), Recipe(folds=4))
    assert sorted(seen) == [75, 75, 75, 75, 100]


def test_same_seed_same_bytes_with_text() -> None:
    dataset, new = read(draw_reviews(150), "label"), draw_reviews(20, seed=2)
    first, second = (fit(dataset, Recipe(folds=2)).predictor.logits(new) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_of_a_model_fitted_again_to_all_rows_only_a_temperature_is_corrected() -> None:
    dataset = read(draw_reviews(600), "label")
    result = fit(dataset, Recipe(folds=2, label_smoothing=0.4))
    assert result.trials[0].refitted
    assert [attempt.method for attempt in result.predictor.calibration.attempts] == ["identity", "temperature"]
    asked = fit(dataset, Recipe(folds=2, label_smoothing=0.4, calibration="vector")).predictor.calibration
    assert {attempt.method for attempt in asked.attempts} == {"identity", "vector"}


def test_a_searched_rate_is_trained_with_and_searching_changes_no_other_draw(table: pd.DataFrame) -> None:
    dataset = read(table, "label")
    # A training so long that the usual rate is too high for it.
    recipe = Recipe(model="network", folds=2)
    assert fit(dataset, dataclasses.replace(recipe, network=Network(max_epochs=1))).learning_rate is None
    long = Network(max_epochs=2000, find_lr=True)
    searched = fit(dataset, dataclasses.replace(recipe, network=long), on_epoch=lambda _: True)
    assert searched.learning_rate is not None
    rate = searched.learning_rate.suggested
    assert rate != USUAL_RATE
    as_found = dataclasses.replace(long, find_lr=False, learning_rate=rate)
    given = fit(dataset, dataclasses.replace(recipe, network=as_found), on_epoch=lambda _: True)
    assert searched.predictor.logits(table).tobytes() == given.predictor.logits(table).tobytes()


def test_the_search_for_a_rate_sees_no_row_held_out_of_the_first_fold(table: pd.DataFrame) -> None:
    dataset = read(table, "label")
    recipe = Recipe(model="network", folds=2, network=Network(max_epochs=1, find_lr=True))

    rng = np.random.default_rng(recipe.seed)
    held_out = crossent.fitting.fit._validation_sides(dataset, recipe, rng)[0]
    rng.integers(2**31)
    _, examples = crossent.fitting.fit._encode_all(dataset)
    task = Task(train=examples.take(~held_out), valid=None, objective=Objective(), rng=rng)
    _, expected = search_learning_rate(recipe.network, lambda: task)
    found = fit(dataset, recipe).learning_rate
    assert found is not None
    assert expected is not None
    assert found.losses.tobytes() == expected.losses.tobytes()


def test_auto_searches_the_rate_of_the_network_unless_one_is_given(table: pd.DataFrame) -> None:
    dataset = read(table, "label")
    quick = Recipe(folds=2, boosting=Boosting(max_rounds=2), linear=Linear(C=1.0), network=Network(max_epochs=1))
    searched = fit(dataset, quick)
    assert [trial.learning_rate is not None for trial in searched.trials] == [False, False, True]
    given = dataclasses.replace(quick, network=Network(max_epochs=1, learning_rate=0.02))
    assert fit(dataset, given).learning_rate is None


def test_of_many_rows_a_network_holds_out_one_fold_unless_folds_are_asked_for(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Network, "one_split_rows", len(table))
    dataset = read(table, "label")
    found = fit(dataset, Recipe(boosting=Boosting(max_rounds=5), network=Network(max_epochs=2)))
    assert [(trial.model, trial.folds) for trial in found.trials] == [("linear", 5), ("boosting", 5), ("network", 1)]
    asked = fit(dataset, Recipe(model="network", folds=2, network=Network(max_epochs=1)))
    assert [trial.folds for trial in asked.trials] == [2]


def test_candidates_that_hold_out_other_folds_are_judged_on_the_rows_of_the_first(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fold is made the hardest: a network judged there alone must not win by the folds that it left out."""
    monkeypatch.setattr(Network, "one_split_rows", len(table))
    judged: dict[str, np.ndarray] = {}
    loss = crossent.fitting.cross_fit.CrossFit.first_fold_loss

    def watch(of_candidate: crossent.fitting.cross_fit.CrossFit) -> float:
        rows = of_candidate.held_out.take(of_candidate.held_out.model_index == 0)
        judged[of_candidate.trial.model] = rows.target
        return loss(of_candidate)

    monkeypatch.setattr(crossent.fitting.cross_fit.CrossFit, "first_fold_loss", watch)
    result = fit(read(table, "label"), Recipe(boosting=Boosting(max_rounds=5), network=Network(max_epochs=2)))
    assert set(judged) == {"linear", "boosting", "network"}
    assert all(np.array_equal(target, judged["network"]) for target in judged.values())
    assert len(judged["network"]) < len(table) / 2
    assert result.trials[result.chosen].model in judged


def test_auto_leaves_the_network_out_of_wide_tables() -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(60, 501))).add_prefix("column_")
    wide["label"] = rng.choice(["a", "b", "c"], size=60)
    found = fit(read(wide, "label"), Recipe(folds=2, boosting=Boosting(max_rounds=5), linear=Linear(C=1.0)))
    assert [trial.model for trial in found.trials] == ["linear", "boosting"]


def test_auto_leaves_out_what_cannot_take_the_loss(table: pd.DataFrame) -> None:
    quick = Recipe(
        folds=2, imbalance="focal", boosting=Boosting(max_rounds=2), network=Network(max_epochs=1, learning_rate=0.01)
    )
    found = fit(read(table, "label"), quick)
    assert [trial.model for trial in found.trials] == ["boosting", "network"]
    with pytest.raises(SettingError, match="Model linear does not take the focal loss"):
        fit(read(table, "label"), dataclasses.replace(quick, model="linear"))
