from pathlib import Path

import numpy as np
import pandas as pd

from crossent.data.read import read
from crossent.explain.rows import worst_rows
from crossent.fitting.recipe import Recipe
from tests.one_run import train


def test_planted_label_errors_head_the_rows_to_look_at(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    label = np.where(x > 0, "up", "down")
    wrong = np.flatnonzero(np.abs(x) > 1)[:30]
    label[wrong] = np.where(x[wrong] > 0, "down", "up")
    dataset = read(pd.DataFrame({"x": x, "y": label}), "y")
    recipe = Recipe(model="linear")
    run = train(dataset, recipe, 0.5, tmp_path)
    log_probs = run.result.predictor.log_probs(dataset.frame)
    listed = worst_rows(dataset, log_probs)
    assert {row.row - 1 for row in listed} <= set(wrong.tolist())
    assert len(listed) == 20
    assert listed[0].label != listed[0].predicted
