from pathlib import Path

import numpy as np
import pytest

from crossent.data.read import read
from crossent.errors import CheckpointError
from crossent.fitting.fit import fit
from crossent.fitting.recipe import Recipe
from crossent.models.settings import Linear
from crossent.train.checkpoint import Checkpoints, never_interrupted
from tests.conftest import draw_table


def test_a_finished_fold_of_as_many_rows_with_other_labels_is_refused(tmp_path: Path) -> None:
    table = draw_table(120)
    recipe = Recipe(model="linear", folds=2, linear=Linear(C=1.0))
    checkpoints = Checkpoints(tmp_path, never_interrupted)
    result = fit(read(table, "label"), recipe, checkpoints=checkpoints)
    again = fit(read(table, "label"), recipe, checkpoints=checkpoints)
    assert again.predictor.logits(table).tobytes() == result.predictor.logits(table).tobytes()
    other = table.assign(label=np.roll(table["label"], 1))
    with pytest.raises(CheckpointError, match="only this fold is trained again") as caught:
        fit(read(other, "label"), recipe, checkpoints=checkpoints)
    assert "it holds out other rows" in str(caught.value)
