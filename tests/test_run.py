import json
import shutil
import sys
from pathlib import Path

import pytest

from crossent.data.dataset import Dataset
from crossent.data.read import read
from crossent.errors import DataError
from crossent.file_lock import lock
from crossent.fitting.recipe import Recipe
from crossent.monitoring.history_file import read_history
from crossent.monitoring.records import ignore_epoch
from crossent.run import begin_run, finish_run, load_run, reopen_run
from crossent.train.checkpoint import TrainingInterruptedError, never_interrupted
from tests.conftest import draw_table
from tests.one_run import train


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


def interrupted_run(runs: Path, recipe: Recipe, checks: int) -> tuple[Dataset, Path]:
    """Interrupt a run after a number of checks."""
    dataset = read(draw_table(200), "label")
    folder = begin_run(dataset, recipe, held_out=0.25, request={}, runs=runs, name="r")
    left = iter([False] * checks)
    with pytest.raises(TrainingInterruptedError):
        finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=lambda: next(left, True))
    return dataset, folder


def test_a_damaged_line_of_the_history_is_dropped_and_said_and_the_weights_are_the_same(tmp_path: Path) -> None:
    dataset, folder = interrupted_run(tmp_path, Recipe(model="linear", folds=2), 1)
    straight = Path(shutil.copytree(folder, tmp_path / "straight"))
    lines = (folder / "history.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "history.jsonl").write_bytes(lines[0] + b"\0\0\0\n" + b"".join(lines[1:]) + b'{"model"')
    notes: list[str] = []
    for path in (folder, straight):
        finish_run(path, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted, on_note=notes.append)
    assert len(notes) == 1
    assert "history.jsonl: 2 lines hold no record of an epoch; the first is line 2" in notes[0]
    assert read_history(folder / "history.jsonl") == read_history(straight / "history.jsonl")
    arrays = [sorted(path.name for path in (run / "model").glob("*.safetensors")) for run in (folder, straight)]
    assert arrays[0] == arrays[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks that tell who is alive")
def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, folder = interrupted_run(tmp_path, Recipe(model="linear", folds=2), 1)
    monkeypatch.setattr("crossent.run.LOCK_SECONDS", 0.1)
    with lock(folder / "run.json", 0), pytest.raises(DataError, match="one process at a time"):
        finish_run(folder, dataset, on_epoch=ignore_epoch, interrupted=never_interrupted)


def test_what_killed_processes_left_goes_at_the_next_start(tmp_path: Path) -> None:
    recipe = Recipe(model="linear", folds=2)
    dataset, folder = interrupted_run(tmp_path, recipe, 1)
    (tmp_path / ".r.0123abcd").mkdir()
    (folder / ".report.html.0123abcd").write_bytes(b"half")
    assert (folder / "checkpoints").is_dir()
    begin_run(dataset, recipe, held_out=0.25, request={}, runs=tmp_path, name="next")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["next", "r"]
    assert not (folder / ".report.html.0123abcd").exists()
    assert (folder / "checkpoints").is_dir()
    # Killed between the report and the end, a run is finished all the same.
    (folder / "report.html").write_text("")
    with pytest.raises(DataError, match="finished"):
        reopen_run(folder)
    assert not (folder / "checkpoints").exists()
