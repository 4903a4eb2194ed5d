import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossent.data.dataset import Dataset
from crossent.data.read import read
from crossent.errors import DataError
from crossent.recipe import Recipe
from crossent.run import Run, begin_run, finish_run, load_run
from crossent.train.checkpoint import never_interrupted
from crossent.train.history_file import read_history
from crossent.train.monitor import ignore_epoch
from tests.conftest import draw_table


def train(dataset: Dataset, recipe: Recipe, held_out: float, runs: Path) -> Run:
    folder = begin_run(dataset, recipe, held_out=held_out, request={}, runs=runs, name="r")
    return finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)


def test_training_never_sees_the_rows_held_out(tmp_path: Path) -> None:
    dataset = read(draw_table(200), "label")
    recipe = Recipe(model="linear", folds=2)
    run = train(dataset, recipe, 0.25, tmp_path)
    folder = tmp_path / "r"
    assert run.training_rows + run.evaluation.rows == 200
    assert run.evaluation.rows == 50
    assert len(read_history(folder / "history.jsonl")) > 10
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["metrics"]["accuracy"]["value"] == run.evaluation.metrics["accuracy"].value
    new = draw_table(20, seed=3)
    assert load_run(folder).logits(new).tobytes() == load_run(folder / "model").logits(new).tobytes()


def test_a_run_goes_on_only_with_the_rows_that_it_began_with(tmp_path: Path) -> None:
    recipe = Recipe(model="linear", folds=2)
    folder = begin_run(read(draw_table(200), "label"), recipe, held_out=0.25, request={}, runs=tmp_path, name="r")
    with pytest.raises(DataError, match="goes on with the rows"):
        finish_run(folder, read(draw_table(201), "label"), on_epoch=ignore_epoch, interrupted=never_interrupted)


def test_what_a_crash_left_of_a_model_is_not_in_the_way(tmp_path: Path) -> None:
    dataset = read(draw_table(200), "label")
    folder = begin_run(dataset, Recipe(model="linear", folds=2), held_out=0.25, request={}, runs=tmp_path, name="r")
    (folder / "model").mkdir()
    (folder / "model" / "arrays-0123456789abcdef.safetensors").write_bytes(b"half")
    finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)
    assert load_run(folder).classes == dataset.classes
    assert not (folder / "checkpoints").exists()


@pytest.mark.slow
def test_killed_at_random_moments_runs_end_in_the_weights_of_straight_ones() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "kills.py"
    # Small disks take root.
    disks = "2" if sys.platform == "linux" and os.geteuid() == 0 else "0"
    command = [sys.executable, str(script), "--kills", "10", "--disks", disks]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| 10 kills" in done.stdout
    assert "| 0 unreadable | 0 different models |" in done.stdout
