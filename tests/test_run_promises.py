from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossent.run
from crossent.data.read import read
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Linear
from crossent.monitoring.records import ignore_epoch
from crossent.run import begin_run, finish_run
from crossent.train.checkpoint import never_interrupted
from tests.spies import spy


@pytest.mark.parametrize("split_by", ["groups", "time"])
def test_training_and_evaluation_see_other_rows_and_together_all(split_by: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "y": rng.choice(["a", "b"], size=200)})
    frame["who"], frame["day"] = rng.integers(0, 40, size=200).astype(str), rng.permutation(200).astype(float)
    unused, options = {"groups": ("day", {"groups": "who"}), "time": ("who", {"time": "day"})}[split_by]
    dataset = read(frame.drop(columns=unused), "y", **options)
    recipe = Recipe(model="linear", folds=2, linear=Linear(C=1.0))
    folder = begin_run(dataset, recipe, held_out=0.25, request={}, runs=tmp_path, name="r")
    with pytest.MonkeyPatch.context() as patch:
        fits, judgements = spy(patch, crossent.run, "fit"), spy(patch, crossent.run, "judge")
        run = finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)
    (fitted,), (judged,) = fits, judgements
    train, test = fitted.args[0], judged.args[1]
    position = {x: i for i, x in enumerate(frame["x"])}
    train_rows, test_rows = ([position[x] for x in side.frame["x"]] for side in (train, test))
    assert sorted([*train_rows, *test_rows]) == list(range(200))
    assert 30 < len(test_rows) < 70
    for side, rows in ((train, train_rows), (test, test_rows)):
        assert [dataset.classes[i] for i in side.target] == frame["y"].iloc[rows].tolist()
    assert judged.args[0] is run.result.predictor
    assert run.evaluation.rows == len(test_rows)
    if split_by == "groups":
        assert not set(frame["who"].iloc[train_rows]) & set(frame["who"].iloc[test_rows])
    if split_by == "time":
        assert frame["day"].iloc[train_rows].max() < frame["day"].iloc[test_rows].min()
