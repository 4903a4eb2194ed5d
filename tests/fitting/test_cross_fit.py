import shutil
from pathlib import Path

import numpy as np
import pytest

from crossent.data.read import read
from crossent.errors import CheckpointError
from crossent.fitting.fit import FitResult, fit
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Boosting
from crossent.monitoring.records import EpochRecord
from crossent.train.checkpoint import Checkpoints, TrainingInterruptedError, never_interrupted
from tests.conftest import draw_table


class Watch:
    """Remembers the folds that were trained, and asks to interrupt within one of them."""

    def __init__(self, interrupt_in: tuple[str, int] | None = None) -> None:
        self.trained: list[tuple[str, int]] = []
        self._interrupt_in = interrupt_in

    def __call__(self, record: EpochRecord) -> bool:
        key = (record.model, record.fold)
        if key not in self.trained:
            self.trained.append(key)
        return self.interrupted()

    def interrupted(self) -> bool:
        return self._interrupt_in is not None and self._interrupt_in in self.trained


def train(recipe: Recipe, watch: Watch, folder: Path | None = None) -> FitResult:
    checkpoints = None if folder is None else Checkpoints(folder, watch.interrupted)
    return fit(read(draw_table(300), "label"), recipe, on_epoch=watch, checkpoints=checkpoints)


@pytest.mark.parametrize("imbalance", ["none", "oversample"])
@pytest.mark.parametrize("interrupt_in", [("linear", 2), ("boosting", 1), ("boosting", 3)])
def test_finished_folds_are_not_trained_again(tmp_path: Path, interrupt_in: tuple[str, int], imbalance: str) -> None:
    recipe = Recipe(folds=3, imbalance=imbalance, boosting=Boosting(max_rounds=20))  # type: ignore[arg-type]
    straight = Watch()
    expected = train(recipe, straight)
    with pytest.raises(TrainingInterruptedError):
        train(recipe, Watch(interrupt_in), tmp_path)
    again = Watch()
    result = train(recipe, again, tmp_path)
    assert again.trained == straight.trained[straight.trained.index(interrupt_in) :]
    new = draw_table(40, seed=5)
    assert result.predictor.logits(new).tobytes() == expected.predictor.logits(new).tobytes()
    assert result.chosen == expected.chosen


def test_no_time_left_ends_with_the_first_model_that_there_is() -> None:
    watch = Watch()
    result = train(Recipe(folds=3, time_budget=0.0), watch)
    assert watch.trained == [("linear", 1)]
    assert len(result.predictor.members) == 1
    assert np.isfinite(result.predictor.logits(draw_table(5))).all()


def test_time_is_shared_by_all_folds() -> None:
    # Rounds without end: only the clock ends a fold.
    recipe = Recipe(
        model="boosting", folds=2, time_budget=1.0, boosting=Boosting(learning_rate=1e-6, max_rounds=1_000_000)
    )
    watch = Watch()
    result = train(recipe, watch)
    assert watch.trained == [("boosting", 1), ("boosting", 2)]
    assert len(result.predictor.members) == 2
    assert result.trials[0].seconds < 10


def test_nothing_is_kept_where_nothing_is_asked_for(tmp_path: Path) -> None:
    train(Recipe(model="linear", folds=2), Watch(), None)
    assert list(tmp_path.iterdir()) == []
    train(Recipe(model="linear", folds=2), Watch(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"linear-1", "linear-2"}
    assert Checkpoints(tmp_path, never_interrupted).of("linear", 1).load() is None


@pytest.mark.parametrize("other", ["rows", "classes", "model", "fold"])
def test_a_finished_fold_of_another_training_is_one_clear_error(tmp_path: Path, other: str) -> None:
    recipe = Recipe(model="linear", folds=2)
    watch = Watch(("linear", 2))
    with pytest.raises(TrainingInterruptedError):
        train(recipe, watch, tmp_path)
    mine = tmp_path / "linear-1"
    frame = {"rows": draw_table(301), "classes": draw_table(300).assign(label="a")}.get(other, draw_table(300))
    frame.loc[::2, "label"] = "b"
    if other == "model":
        mine = mine.rename(tmp_path / "boosting-1")
        recipe = Recipe(model="boosting", folds=2, boosting=Boosting(max_rounds=5))
        frame = draw_table(300)
    elif other == "fold":
        shutil.copytree(mine, tmp_path / "linear-2", dirs_exist_ok=True)
        frame = draw_table(300)
    with pytest.raises(CheckpointError, match="only this fold is trained again") as caught:
        fit(read(frame, "label"), recipe, checkpoints=Checkpoints(tmp_path, never_interrupted))
    assert str(tmp_path) in caught.value.met
