import sys
from pathlib import Path

import pytest

from crossent.file_lock import lock
from crossent.sweep import sweep_run, sweep_runs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks that tell who is alive")

OF_OTHERS = [".report.html.bak", ".bashrc", ".notes.txt.0123abcd", "report.html.0123abcd", ".r.0123abcd"]


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_only_what_is_known_to_be_of_a_run_goes(tmp_path: Path) -> None:
    mine = [".report.html.0123abcd", ".history.jsonl.ffffffff", "model/.model.json.0123abcd"]
    mine += ["model/.arrays-0123456789abcdef.safetensors.0123abcd"]
    others = [*OF_OTHERS, "run.json", "history.jsonl", "checkpoints/network-1/checkpoint.json", "model/.mine.0123abcd"]
    run = make(tmp_path / "runs" / "r", *mine, *(name for name in others if name.count("/") < 2))
    make(run / "checkpoints" / "network-1", "checkpoint.json")
    (run / ".metrics.json.0123abcd").symlink_to(run / "run.json")
    sweep_run(run)
    assert names(run) == {*others, ".metrics.json.0123abcd"}
    (run / "report.html").write_text("")
    sweep_runs(tmp_path / "runs")
    assert not (run / "checkpoints").exists()
    assert {"report.html", *OF_OTHERS} < names(run)


def test_a_run_that_is_trained_is_left_alone(tmp_path: Path) -> None:
    run = make(tmp_path / "r", "run.json", "report.html", ".report.html.0123abcd", "checkpoints/step")
    before = names(tmp_path)
    with lock(run / "run.json", 0):
        sweep_runs(tmp_path)
        assert names(tmp_path) == before
    sweep_runs(tmp_path)
    assert names(tmp_path) == {"r/run.json", "r/report.html"}


def test_folders_that_never_got_their_name_go_unless_they_hold_more(tmp_path: Path) -> None:
    make(tmp_path / ".jobs.ab_0123z")
    make(tmp_path / ".jobs.ab_0124z", "run.json", ".run.json.0123abcd")
    make(tmp_path / ".jobs.ab_0125z", "run.json", "notes")
    make(tmp_path / ".git", "config")
    make(tmp_path / "jobs.ab_0123z", "run.json")
    with lock(tmp_path, 0):
        # Somebody makes a folder just now.
        sweep_runs(tmp_path)
        assert len(list(tmp_path.iterdir())) == 5
    sweep_runs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", ".jobs.ab_0125z", "jobs.ab_0123z"]


def test_a_folder_that_is_missing_or_a_file_is_no_error(tmp_path: Path) -> None:
    sweep_runs(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    sweep_runs(tmp_path / "file")
    sweep_run(tmp_path / "nowhere")
    assert names(tmp_path) == {"file"}
