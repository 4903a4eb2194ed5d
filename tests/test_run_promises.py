from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossent.data.dataset
import crossent.explain.judgement
import crossent.fitting.cross_fit
import crossent.run
from crossent.data.read import read
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Linear
from crossent.monitoring.records import ignore_epoch
from crossent.run import begin_run, finish_run, split_rows
from crossent.run_folder import fingerprint
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


def test_weights_stay_with_their_rows_in_training_and_judgement(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "y": rng.choice(["a", "b"], size=200)})
    # Each row's weight can be told from its number.
    frame["w"] = np.exp(frame["x"])
    dataset = read(frame, "y", weight="w")
    recipe = Recipe(model="linear", folds=2, linear=Linear(C=1.0))
    folder = begin_run(dataset, recipe, held_out=0.25, request={}, runs=tmp_path, name="r")
    with pytest.MonkeyPatch.context() as patch:
        fits, judgements = spy(patch, crossent.run, "fit"), spy(patch, crossent.run, "judge")
        of_folds = spy(patch, crossent.fitting.cross_fit, "fit")
        calibrations = spy(patch, crossent.fitting.cross_fit, "choose_calibration")
        evaluations = spy(patch, crossent.explain.judgement, "evaluate_log_probs")
        run = finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)
    train, test = fits[0].args[0], judgements[0].args[1]
    for side in (train, test):
        np.testing.assert_allclose(side.weight, np.exp(side.frame["x"]))
    encoder = run.result.predictor.encoder
    place = {row.tobytes(): x for row, x in zip(encoder.encode(train.frame).numbers, train.frame["x"], strict=True)}
    for call in of_folds:
        task = call.args[1]
        for rows in (task.train, task.valid):
            expected = np.exp([place[row.tobytes()] for row in rows.features.numbers])
            np.testing.assert_allclose(rows.weight, expected)
    assert calibrations[0].options["weight"] is not None
    conformal = run.result.predictor.conformal_rows.weight
    assert conformal is not None
    assert set(conformal) | set(calibrations[0].options["weight"]) == set(train.weight)
    assert not set(conformal) & set(calibrations[0].options["weight"])
    np.testing.assert_array_equal(evaluations[0].options["weight"], test.weight)
    other = read(frame.assign(w=frame["w"] + 0.1), "y", weight="w")
    assert fingerprint(other) != fingerprint(dataset)


def test_rows_are_hashed_once_split_once_and_copies_looked_for_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "y": rng.choice(["a", "b"], size=200)})
    dataset = read(pd.concat([frame, frame.head(20)]), "y")
    recipe = Recipe(model="linear", folds=2, linear=Linear(C=1.0))
    with pytest.MonkeyPatch.context() as patch:
        hashes, copies = (spy(patch, crossent.data.dataset, name) for name in ("hash_rows", "copy_codes"))
        splits = spy(patch, crossent.run, "hold_out")
        sides = split_rows(dataset, recipe, 0.25)
        folder = begin_run(dataset, recipe, held_out=0.25, request={}, runs=tmp_path, name="r")
        run = finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted, sides=sides)
    assert (len(hashes), len(copies), len(splits)) == (1, 1, 1)
    assert run.evaluation.rows == sides.sum()
